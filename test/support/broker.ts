import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Application, startApplication } from '../../src/application.js';
import { loadCatalog } from '../../src/catalog/catalog.js';
import { readConfig } from '../../src/config/config.js';
import { openLog } from '../../src/observability/log.js';
import { assertNoSecret } from './secrets.js';

/** What the tests' broker takes as the platform's credentials. */
export const USERNAME = 'platform';
export const PASSWORD = 'the-password-of-the-platform';

export interface Reply {
  status: number;
  headers: IncomingHttpHeaders;
  /** The raw body. */
  text: string;
  /** The body as JSON; undefined when it is none. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape
  body: any;
}

export interface RequestOptions {
  /** Sent as JSON, or as it is when it is a text. */
  body?: unknown;
  /** Added to the usual ones; undefined takes one away. */
  headers?: Record<string, string | undefined>;
}

/** A broker that was started as users start it, on an embedded etcd, and a client for it. */
export class TestBroker {
  /** Every line that the broker has logged. */
  readonly logged: string[] = [];
  readonly said: string[] = [];
  /** Every password, key and token that this broker has handed out or keeps. */
  readonly secrets = new Set<string>([PASSWORD]);
  /** What else is to be closed when the broker stops. */
  readonly onStop: (() => Promise<void>)[] = [];
  /** The answers that tell of a failure, in full. */
  readonly #failures: string[] = [];
  readonly service = catalog.services[0] as (typeof catalog.services)[0];
  readonly plan = (catalog.services[0] as (typeof catalog.services)[0]).plans[0] as NonNullable<
    (typeof catalog.services)[0]['plans'][0]
  >;
  application!: Application;

  constructor(
    readonly dataDir: string,
    readonly env: Record<string, string>,
  ) {}

  get url(): string {
    return this.application.url;
  }

  async start(): Promise<this> {
    const config = readConfig({
      PATH: process.env.PATH,
      ETCD_BINARY: process.env.ETCD_BINARY,
      PORT: '0',
      DATA_DIR: this.dataDir,
      BROKER_USERNAME: USERNAME,
      BROKER_PASSWORD: PASSWORD,
      // Most tests are about the broker, and look at etcd with the credentials that it hands out.
      PORTAL: 'off',
      ...this.env,
    });
    const log = openLog(config.logLevel, { write: (line: string) => this.logged.push(line) });
    this.application = await startApplication(config, log, (line) => this.said.push(line));
    for (const file of ['etcd-root-password', 'broker-encryption-key', 'broker-password']) {
      const secret = await readFile(path.join(this.dataDir, file), 'utf8').catch(() => '');
      if (secret.trim() !== '') {
        this.secrets.add(secret.trim());
      }
    }
    return this;
  }

  /** Stops the broker and leaves its data for another start. */
  async stop(): Promise<void> {
    for (const close of this.onStop.splice(0)) {
      await close();
    }
    await this.application?.stop();
  }

  /**
   * Stops the broker and deletes its data.
   * @throws AssertionError when a secret of this broker stands in its log, its metrics or an answer about a failure
   */
  async dispose(): Promise<void> {
    // There may be no answer: the broker may have been stopped, or never started.
    const metrics = await Promise.resolve()
      .then(() => this.send('GET', '/metrics'))
      .catch(() => undefined);
    await this.stop();
    await rm(this.dataDir, { recursive: true, force: true });
    assertNoSecret(this.secrets, {
      'its log': this.logged,
      'what it says at its start': this.said,
      'its metrics': [metrics?.text ?? ''],
      'an answer about a failure': this.#failures,
    });
  }

  /** One request with the platform's usual headers. The path is sent as it stands, without normalisation. */
  send(method: string, path: string, options: RequestOptions = {}): Promise<Reply> {
    const { hostname, port } = new URL(this.url);
    const body =
      options.body === undefined || typeof options.body === 'string'
        ? options.body
        : JSON.stringify(options.body);
    const usual: Record<string, string | undefined> = {
      authorization: `Basic ${Buffer.from(`${USERNAME}:${PASSWORD}`).toString('base64')}`,
      'x-broker-api-version': '2.17',
      ...(body === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }),
      ...options.headers,
    };
    const headers = Object.fromEntries(Object.entries(usual).filter(([, value]) => value !== undefined));
    return new Promise((resolve, reject) => {
      const request = httpRequest({ hostname, port, method, path, headers, timeout: 30_000 }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          const reply = {
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            body: parse(text),
          };
          this.#remember(reply);
          resolve(reply);
        });
      });
      request.on('timeout', () => request.destroy(new Error(`No answer to ${method} ${path} within 30 s`)));
      request.on('error', reject);
      request.end(body);
    });
  }

  /** Body of a provision request, with the fields given added. */
  provisionBody(fields: Record<string, unknown> = {}): Record<string, unknown> {
    return {
      service_id: this.service.id,
      plan_id: this.plan.id,
      organization_guid: 'an-organization',
      space_guid: 'a-space',
      ...fields,
    };
  }

  bindBody(fields: Record<string, unknown> = {}): Record<string, unknown> {
    return { service_id: this.service.id, plan_id: this.plan.id, ...fields };
  }

  provision(instanceId: string, fields?: Record<string, unknown>, query = ''): Promise<Reply> {
    return this.send('PUT', `${instancePath(instanceId)}${query}`, { body: this.provisionBody(fields) });
  }

  bind(instanceId: string, bindingId: string, fields?: Record<string, unknown>, query = ''): Promise<Reply> {
    return this.send('PUT', `${bindingPath(instanceId, bindingId)}${query}`, { body: this.bindBody(fields) });
  }

  unbind(instanceId: string, bindingId: string, query = ''): Promise<Reply> {
    return this.send('DELETE', `${bindingPath(instanceId, bindingId)}?${this.#ids()}${query}`);
  }

  deprovision(instanceId: string, query = ''): Promise<Reply> {
    return this.send('DELETE', `${instancePath(instanceId)}?${this.#ids()}${query}`);
  }

  #remember({ status, text, headers, body }: Reply): void {
    if (status >= 400) {
      this.#failures.push(`${JSON.stringify(headers)} ${text}`);
    }
    const password: unknown = body?.credentials?.password;
    if (typeof password === 'string') {
      this.secrets.add(password);
    }
  }

  #ids(): string {
    return `service_id=${this.service.id}&plan_id=${this.plan.id}`;
  }
}

export const catalog = loadCatalog(path.resolve(import.meta.dirname, '../../../catalog.json'));

export function instancePath(instanceId: string): string {
  return `/v2/service_instances/${encodeURIComponent(instanceId)}`;
}

export function bindingPath(instanceId: string, bindingId: string): string {
  return `${instancePath(instanceId)}/service_bindings/${encodeURIComponent(bindingId)}`;
}

/** Starts a broker on an embedded etcd of its own, on free ports, in a folder of its own. */
export async function startTestBroker(env: Record<string, string> = {}): Promise<TestBroker> {
  const dataDir = await mkdtemp(path.join(tmpdir(), 'compose-etcd-broker-test-'));
  return new TestBroker(dataDir, env).start();
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
