import { generateKeyPairSync } from 'node:crypto';
import { createServer, type IncomingMessage, request as requestPlain, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, request as requestTls } from 'node:https';
import type { AddressInfo } from 'node:net';
import Provider from 'oidc-provider';
import { makeCertificate, makeKey } from '../../src/embedded/x509.js';

const SCOPES = ['openid', 'cloud_controller_service_permissions.read'];

export interface Certificates {
  /** The authority's. */
  ca: string;
  key: string;
  cert: string;
}

/** An authority, and what it signed for a server on this machine. */
export async function makeCertificates(): Promise<Certificates> {
  const time = { notBefore: Date.now() - 60_000, notAfter: Date.now() + 3_600_000 };
  const authority = await makeKey();
  const ca = await makeCertificate({ subject: 'CN=authority', keyPem: authority, use: 'authority', ...time });
  const key = await makeKey();
  const cert = await makeCertificate({
    subject: 'CN=platform',
    keyPem: key,
    use: 'server',
    hosts: ['127.0.0.1'],
    issuer: { certificatePem: ca, keyPem: authority },
    ...time,
  });
  return { ca, key, cert };
}

type Handler = (request: IncomingMessage, response: ServerResponse) => unknown;

/** A server on a free port of this machine, whose handler may be changed while it runs. */
export class StubServer {
  /** The method and the path of each request. */
  readonly asked: string[] = [];
  handler: Handler = (_request, response) => send(response, 404, {});

  private constructor(
    private readonly server: ReturnType<typeof createServer>,
    readonly url: string,
  ) {}

  static async start(tls?: Certificates): Promise<StubServer> {
    let stub: StubServer | undefined;
    const handle: Handler = (request, response) => {
      stub?.asked.push(`${request.method} ${request.url?.split('?')[0]}`);
      return stub?.handler(request, response);
    };
    const server = tls === undefined ? createServer(handle) : createTlsServer(tls, handle);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    stub = new StubServer(server, `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`);
    return stub;
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.server.closeAllConnections();
    await closed;
  }
}

export function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

export interface Permissions {
  read: boolean;
  manage: boolean;
}

/**
 * What a broker sees of Cloud Foundry: a real OAuth server with UAA's paths, issuer and claims, and of the Cloud
 * Controller what leads to it and tells permissions.
 */
export class TestPlatform {
  /** Whether the person allows what is asked for. */
  allows = true;
  /** What the person may do, by instance; 404 for others. */
  readonly permissions = new Map<string, Permissions>();
  /** What the OAuth server knows of the person. */
  claims: Record<string, unknown> = { user_name: 'ada@example.com', email: 'ada@mail.example.com' };

  private constructor(
    readonly api: StubServer,
    readonly uaa: StubServer,
    readonly provider: Provider,
    private readonly ca: string | undefined,
  ) {}

  static async start(
    client: { id: string; secret: string; redirectUri: string },
    tls?: Certificates,
  ): Promise<TestPlatform> {
    const api = await StubServer.start(tls);
    const uaa = await StubServer.start(tls);
    let platform: TestPlatform | undefined;
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const provider = new Provider(`${uaa.url}/oauth/token`, {
      clients: [
        {
          client_id: client.id,
          client_secret: client.secret,
          redirect_uris: [client.redirectUri],
          token_endpoint_auth_method: 'client_secret_post',
        },
      ],
      scopes: SCOPES,
      claims: { openid: ['sub', 'user_name', 'email'] },
      conformIdTokenClaims: false,
      findAccount: (_context: unknown, accountId: string) => ({
        accountId,
        claims: () => ({ sub: accountId, ...platform?.claims }),
      }),
      routes: {
        authorization: '/oauth/authorize',
        token: '/oauth/token',
        userinfo: '/userinfo',
        jwks: '/token_keys',
      },
      pkce: { required: () => true },
      features: { devInteractions: { enabled: false } },
      interactions: { url: () => '/interaction' },
      jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig' }] },
      cookies: { keys: ['a key of the tests'] },
      ttl: {
        AccessToken: 600,
        AuthorizationCode: 60,
        Grant: 600,
        IdToken: 600,
        Interaction: 60,
        Session: 600,
      },
    });
    platform = new TestPlatform(api, uaa, provider, tls?.ca);
    api.handler = platform.#controller;
    uaa.handler = platform.#oauth;
    return platform;
  }

  /**
   * Goes where a browser is sent and does what a person would there.
   * @returns the address that it is sent back to
   */
  async browse(location: string): Promise<URL> {
    const cookies = new Map<string, string>();
    let url = new URL(location);
    while (url.origin === this.uaa.url) {
      const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
      const { headers, statusCode } = await this.#get(url, cookie);
      for (const line of headers['set-cookie'] ?? []) {
        const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
        cookies.set(name, value);
      }
      if (headers.location === undefined) {
        throw new Error(`${url.pathname} answered ${statusCode} and led nowhere`);
      }
      url = new URL(headers.location, url);
    }
    return url;
  }

  async stop(): Promise<void> {
    await Promise.all([this.api.stop(), this.uaa.stop()]);
  }

  #get(url: URL, cookie: string): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const options = { headers: { cookie }, agent: false, ...(this.ca && { ca: this.ca }) };
      const request = (url.protocol === 'https:' ? requestTls : requestPlain)(url, options, (answer) => {
        answer.resume();
        resolve(answer);
      });
      request.on('error', reject);
      request.end();
    });
  }

  readonly #controller: Handler = async (request, response) => {
    if (request.url === '/') {
      return send(response, 200, {
        links: { login: { href: `${this.uaa.url}/login` }, uaa: { href: this.uaa.url } },
      });
    }
    const [, guid] = /^\/v3\/service_instances\/([^/]+)\/permissions$/.exec(request.url ?? '') ?? [];
    const [, token = ''] = /^Bearer (.+)$/.exec(request.headers.authorization ?? '') ?? [];
    if (!(await this.provider.AccessToken.find(token))?.isValid) {
      return send(response, 401, { errors: [{ code: 1000, title: 'CF-InvalidAuthToken' }] });
    }
    const permissions = guid && this.permissions.get(decodeURIComponent(guid));
    return permissions
      ? send(response, 200, permissions)
      : send(response, 404, { errors: [{ code: 10010, title: 'CF-ResourceNotFound' }] });
  };

  readonly #oauth: Handler = (request, response) =>
    request.url === '/interaction'
      ? this.#interact(request, response)
      : this.provider.callback()(request, response);

  async #interact(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { prompt, session, params } = await this.provider.interactionDetails(request, response);
    if (prompt.name === 'login') {
      return this.provider.interactionFinished(request, response, { login: { accountId: 'a-user-guid' } });
    }
    if (!this.allows) {
      return this.provider.interactionFinished(request, response, {
        error: 'access_denied',
        error_description: 'User denied access',
      });
    }
    const accountId = session?.accountId ?? '';
    const grant = new this.provider.Grant({ accountId, clientId: params.client_id });
    grant.addOIDCScope(SCOPES.join(' '));
    return this.provider.interactionFinished(request, response, {
      consent: { grantId: await grant.save() },
    });
  }
}
