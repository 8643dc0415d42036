import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { Agent, request as httpRequest } from 'node:http';
import { createServer } from 'node:net';
import path from 'node:path';
import { loadCatalog } from '../src/catalog/catalog.js';
import { sleep } from './statistics.js';

const ROOT = path.resolve(import.meta.dirname, '..', '..');
const MAIN = path.join(ROOT, 'dist', 'src', 'main.js');
const USERNAME = 'platform';
const PASSWORD = 'the-password-of-the-platform';
const START_WITHIN_MS = 120_000;
const STOP_WITHIN_MS = 40_000;
const POLL_MS = 5;

export interface Answer {
  status: number;
  text: string;
}

/** A broker in a process of its own, started as users start it, on an embedded etcd, and a client for it. */
export class BrokerProcess {
  readonly catalog = loadCatalog(path.join(ROOT, 'catalog.json'));
  port = 0;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });
  readonly #headers = {
    authorization: `Basic ${Buffer.from(`${USERNAME}:${PASSWORD}`).toString('base64')}`,
    'x-broker-api-version': '2.17',
    'content-type': 'application/json',
  };
  #child: ChildProcess | undefined;

  /**
   * @param folder for the data and the log
   * @param etcdBinary the etcd that it starts
   * @param nodeOptions Node's own, such as those of its profiler
   */
  constructor(
    readonly folder: string,
    readonly etcdBinary: string,
    readonly nodeOptions: readonly string[] = [],
    /** Settings in place of the usual ones. */
    readonly settings: Readonly<Record<string, string>> = {},
  ) {}

  get dataDir(): string {
    return path.join(this.folder, 'data');
  }

  /** @returns the milliseconds from the start of the process until `/ready` says yes */
  async start(): Promise<number> {
    this.port = await freePort();
    const log = openSync(path.join(this.folder, 'broker.log'), 'a');
    const startedAt = performance.now();
    const child = spawn(process.execPath, [...this.nodeOptions, MAIN], {
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        ETCD_BINARY: this.etcdBinary,
        PORT: String(this.port),
        DATA_DIR: this.dataDir,
        BROKER_USERNAME: USERNAME,
        BROKER_PASSWORD: PASSWORD,
        LOG_LEVEL: 'info',
        // The floors are asked of etcd itself.
        PORTAL: 'off',
        ...this.settings,
      },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#child = child;
    while (!(await this.#isReady())) {
      if (child.exitCode !== null || child.signalCode !== null) {
        throw new Error(`The broker ended at its start:\n${await this.lastLines()}`);
      }
      if (performance.now() - startedAt > START_WITHIN_MS) {
        throw new Error(`The broker was not ready in time:\n${await this.lastLines()}`);
      }
      await sleep(POLL_MS);
    }
    return performance.now() - startedAt;
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) {
      return;
    }
    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
    await exit;
    clearTimeout(timer);
  }

  /** One request with the platform's usual headers, on a connection that is kept. */
  send(method: string, address: string, body?: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const headers =
        body === undefined ? this.#headers : { ...this.#headers, 'content-length': Buffer.byteLength(body) };
      const options = {
        host: '127.0.0.1',
        port: this.port,
        method,
        path: address,
        headers,
        agent: this.#agent,
      };
      const request = httpRequest(options, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
        response.on('error', reject);
      });
      request.on('error', reject);
      request.end(body);
    });
  }

  /** The same, where only one status is right. */
  async expect(status: number, method: string, address: string, body?: string): Promise<string> {
    const answer = await this.send(method, address, body);
    if (answer.status !== status) {
      throw new Error(`${method} ${address} was answered with ${answer.status}: ${answer.text}`);
    }
    return answer.text;
  }

  provision(instance: string): Promise<string> {
    const body = { ...this.#plan, organization_guid: 'an-organization', space_guid: 'a-space' };
    return this.expect(201, 'PUT', `/v2/service_instances/${instance}`, JSON.stringify(body));
  }

  bind(instance: string, binding: string): Promise<string> {
    return this.expect(201, 'PUT', bindingPath(instance, binding), JSON.stringify(this.#plan));
  }

  tryBind(instance: string, binding: string): Promise<Answer> {
    return this.send('PUT', bindingPath(instance, binding), JSON.stringify(this.#plan));
  }

  unbind(instance: string, binding: string): Promise<string> {
    const { service_id, plan_id } = this.#plan;
    const query = `service_id=${service_id}&plan_id=${plan_id}`;
    return this.expect(200, 'DELETE', `${bindingPath(instance, binding)}?${query}`);
  }

  /** The memory that the process holds (RSS), in MB, after its garbage has had time to go. */
  async settledMemory(seconds: number): Promise<number> {
    const seen: number[] = [];
    for (let second = 0; second < seconds; second += 1) {
      await sleep(1_000);
      seen.push(await this.#metric('process_resident_memory_bytes'));
    }
    return Math.min(...seen) / 2 ** 20;
  }

  /** The processor time that the process has used so far, in seconds. */
  cpuSeconds(): Promise<number> {
    return this.#metric('process_cpu_seconds_total');
  }

  async #metric(name: string): Promise<number> {
    const metrics = await this.expect(200, 'GET', '/metrics');
    const value = new RegExp(`^${name} (\\S+)`, 'm').exec(metrics)?.[1];
    if (value === undefined) {
      throw new Error(`There is no metric ${name}`);
    }
    return Number(value);
  }

  /** The log's last lines, for a failure. */
  async lastLines(): Promise<string> {
    const log = await readFile(path.join(this.folder, 'broker.log'), 'utf8').catch(() => '');
    return log.split('\n').slice(-20).join('\n');
  }

  /** Headers of a request as they cross the wire. */
  get rawHeaders(): string {
    const all = { host: `127.0.0.1:${this.port}`, ...this.#headers };
    return Object.entries(all)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join('');
  }

  get #plan(): { service_id: string; plan_id: string } {
    const service = this.catalog.services[0];
    const plan = service?.plans[0];
    if (service === undefined || plan === undefined) {
      throw new Error('The catalog has no plan');
    }
    return { service_id: service.id, plan_id: plan.id };
  }

  async #isReady(): Promise<boolean> {
    try {
      return (await this.send('GET', '/ready')).status === 200;
    } catch {
      return false; // it does not listen yet
    }
  }
}

export function bindingPath(instance: string, binding: string): string {
  return `/v2/service_instances/${instance}/service_bindings/${binding}`;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
