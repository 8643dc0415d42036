import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { inspect } from 'node:util';
import { encryptionKey, Sealer } from '../../src/credentials/seal.js';
import { Secret } from '../../src/credentials/secret.js';
import {
  Platform,
  PlatformAway,
  type PlatformOptions,
  SignInExpired,
  SignInRefused,
} from '../../src/dashboard/platform.js';
import { type Certificates, makeCertificates, StubServer, send, TestPlatform } from '../support/platform.js';

const CLIENT = {
  id: 'etcd-dashboard',
  secret: 'a secret of % & + signs',
  redirectUri: 'https://broker.test/back',
};
const DEPLOYMENT = '0123456789abcdef01234567';
const MINUTE_MS = 60_000;

type Kind = typeof SignInRefused | typeof SignInExpired | typeof PlatformAway;

const sealer = new Sealer([encryptionKey(new Secret(randomBytes(32).toString('base64')))]);

function platformAt(apiUrl: string, options?: PlatformOptions & { ca?: string; secret?: string }): Platform {
  const settings = {
    apiUrl,
    clientId: CLIENT.id,
    clientSecret: new Secret(options?.secret ?? CLIENT.secret),
    ...(options?.ca && { caCertificate: options.ca }),
  };
  return new Platform(settings, sealer, options);
}

/** @returns what the error says for operators */
async function assertFails(promise: Promise<unknown>, kind: Kind, message?: RegExp): Promise<string> {
  let reason = '';
  await assert.rejects(promise, (error: Error) => {
    assert.ok(error instanceof kind, inspect(error));
    assert.equal(error.name, kind.name);
    assert.match(error.message, /^[A-Z][^.]*\.$/, 'it is not one sentence');
    if (message) {
      assert.match(error.message, message);
    }
    reason = (error.cause as Error | undefined)?.message ?? '';
    const said = inspect(error, { depth: 10 });
    assert.ok(!said.includes(CLIENT.secret) && !said.includes('confidential'), said);
    return true;
  });
  return reason;
}

describe('The sign-in at the platform', () => {
  let cloud: TestPlatform;
  let platform: Platform;

  before(async () => {
    cloud = await TestPlatform.start(CLIENT);
    platform = platformAt(cloud.api.url);
  });
  after(() => cloud?.stop());
  beforeEach(() => {
    cloud.allows = true;
    cloud.claims = { user_name: 'ada@example.com', email: 'ada@mail.example.com' };
  });

  const begin = () => platform.begin(DEPLOYMENT, CLIENT.redirectUri);
  const signIn = async () => {
    const { location, flow } = await begin();
    return platform.finish(DEPLOYMENT, flow, await cloud.browse(location));
  };

  it('goes the whole way, to what the person may do', async () => {
    cloud.permissions.set('an-instance', { read: true, manage: true });
    const { location, flow } = await begin();
    const asked = new URL(location).searchParams;
    assert.equal(new URL(location).origin, cloud.uaa.url);
    assert.equal(asked.get('response_type'), 'code');
    assert.equal(asked.get('client_id'), CLIENT.id);
    assert.equal(asked.get('redirect_uri'), CLIENT.redirectUri);
    assert.equal(asked.get('scope'), 'openid cloud_controller_service_permissions.read');
    assert.equal(asked.get('code_challenge_method'), 'S256');
    assert.match(asked.get('code_challenge') ?? '', /^[\w-]{43}$/);
    for (const name of ['state', 'nonce']) {
      assert.match(asked.get(name) ?? '', /^[\w-]{43}$/);
    }
    assert.ok(flow.length < 1024, `${flow.length} characters`);
    sealer.open(flow, `dashboard-sign-in/${DEPLOYMENT}`);

    const { user, token } = await platform.finish(DEPLOYMENT, flow, await cloud.browse(location));
    assert.equal(user, 'ada@example.com');
    assert.equal(await platform.permission('an-instance', token), 'manage');
    assert.equal(await platform.permission('another', token), undefined);
    await assertFails(platform.permission('an-instance', `${token}x`), SignInExpired, /^Sign in again/);
  });

  it('begins anew each time', async () => {
    const [first, second] = await Promise.all([begin(), begin()]);
    for (const name of ['state', 'nonce', 'code_challenge']) {
      const values = [first, second].map(({ location }) => new URL(location).searchParams.get(name));
      assert.notEqual(values[0], values[1], name);
    }
  });

  it('names the person by e-mail address or id where there is no name, in 200 characters', async () => {
    cloud.claims = { email: 'ada@mail.example.com' };
    assert.equal((await signIn()).user, 'ada@mail.example.com');
    cloud.claims = { user_name: '', email: 5 };
    assert.equal((await signIn()).user, 'a-user-guid');
    cloud.claims = { user_name: `${'n'.repeat(199)}😀 and more` };
    assert.equal((await signIn()).user, 'n'.repeat(199));
  });

  it('takes only the query of the address that the browser came back to', async () => {
    const { location, flow } = await begin();
    const { search } = await cloud.browse(location);
    const { user } = await platform.finish(
      DEPLOYMENT,
      flow,
      new URL(`http://10.0.0.1:8080/back${search}#part`),
    );
    assert.equal(user, 'ada@example.com');
  });

  it('can be ended by another replica', async () => {
    const { location, flow } = await begin();
    const other = platformAt(cloud.api.url, { now: () => Date.now() - 30_000 });
    const { user } = await other.finish(DEPLOYMENT, flow, await cloud.browse(location));
    assert.equal(user, 'ada@example.com');
  });

  it('refuses what did not begin here: forged, cut short, too long, or of another deployment', async () => {
    const { location, flow } = await begin();
    const back = await cloud.browse(location);
    const other = new Sealer([encryptionKey(new Secret(randomBytes(32).toString('base64')))]);
    const forged = [
      '',
      'nonsense',
      flow.slice(0, -10),
      flow.slice(0, 20),
      `${flow.slice(0, -3)}${flow.endsWith('AAA') ? 'BBB' : 'AAA'}`,
      other.seal(new Secret('{}'), `dashboard-sign-in/${DEPLOYMENT}`),
      sealer.seal(new Secret('{}'), 'another purpose'),
      sealer.seal(new Secret('{}'), `dashboard-sign-in/${DEPLOYMENT}`),
      sealer.seal(
        new Secret(`{"deployment_id":"${DEPLOYMENT}"}`.padEnd(4000)),
        `dashboard-sign-in/${DEPLOYMENT}`,
      ),
    ];
    for (const text of forged) {
      await assertFails(platform.finish(DEPLOYMENT, text, back), SignInRefused, /^Open the dashboard again/);
    }
    const foreign = platform.finish('fedcba9876543210fedcba98', flow, back);
    await assertFails(foreign, SignInRefused, /^Open the dashboard again/);
    // None of them has used the code up.
    assert.equal((await platform.finish(DEPLOYMENT, flow, back)).user, 'ada@example.com');
  });

  it('refuses what began more than ten minutes ago, or in the future', async () => {
    let offset = 0;
    const moved = platformAt(cloud.api.url, { now: () => Date.now() + offset });
    const { location, flow } = await moved.begin(DEPLOYMENT, CLIENT.redirectUri);
    const back = await cloud.browse(location);
    for (offset of [10 * MINUTE_MS + 1_000, -2 * MINUTE_MS]) {
      await assertFails(moved.finish(DEPLOYMENT, flow, back), SignInRefused, /ten minutes/);
    }
    offset = 9 * MINUTE_MS;
    assert.equal((await moved.finish(DEPLOYMENT, flow, back)).user, 'ada@example.com');
  });

  it('refuses an answer to another sign-in, and one that is none', async () => {
    const [{ location, flow }, other] = [await begin(), await begin()];
    const back = await cloud.browse(location);
    const asked = cloud.uaa.asked.length;
    const changed = (change: (query: URLSearchParams) => void) => {
      const url = new URL(back);
      change(url.searchParams);
      return url;
    };
    const wrong = [
      changed((query) => query.set('state', 'x')),
      changed((query) => query.delete('state')),
      changed((query) => query.append('state', query.get('state') ?? '')),
      changed((query) => query.delete('code')),
      changed((query) => query.append('code', 'x')),
      changed((query) => query.set('iss', 'https://uaa.other.test/oauth/token')),
      changed((query) => query.set('response', 'x')),
      new URL('https://broker.test/back?error=access_denied'),
      new URL(CLIENT.redirectUri),
    ];
    for (const url of wrong) {
      await assertFails(platform.finish(DEPLOYMENT, flow, url), SignInRefused, /another sign-in/);
    }
    await assertFails(platform.finish(DEPLOYMENT, other.flow, back), SignInRefused, /another sign-in/);
    assert.equal(cloud.uaa.asked.length, asked, 'UAA was asked');
  });

  it('refuses a code that was used already, or is wrong', async () => {
    const { location, flow } = await begin();
    const back = await cloud.browse(location);
    await platform.finish(DEPLOYMENT, flow, back);
    const reason = await assertFails(platform.finish(DEPLOYMENT, flow, back), SignInRefused, /used already/);
    assert.equal(reason, 'UAA answered with the error invalid_grant.');
    back.searchParams.set('code', 'confidential');
    await assertFails(platform.finish(DEPLOYMENT, flow, back), SignInRefused, /used already/);
  });

  it('refuses a code that was given for another sign-in, whose state was put in', async () => {
    const [victim, attacker] = [await begin(), await begin()];
    const back = await cloud.browse(attacker.location);
    back.searchParams.set('state', new URL(victim.location).searchParams.get('state') ?? '');
    await assertFails(platform.finish(DEPLOYMENT, victim.flow, back), SignInRefused);
  });

  it('says what to do when the person did not allow it', async () => {
    cloud.allows = false;
    const reason = await assertFails(
      signIn(),
      SignInRefused,
      /^Sign in again and allow the dashboard what it/,
    );
    assert.equal(reason, 'UAA answered with the error access_denied.');
  });

  it("tells the broker's operator of a wrong secret", async () => {
    const wrong = platformAt(cloud.api.url, { secret: 'confidential' });
    const { location, flow } = await wrong.begin(DEPLOYMENT, CLIENT.redirectUri);
    const back = await cloud.browse(location);
    await assertFails(wrong.finish(DEPLOYMENT, flow, back), SignInRefused, /client id and secret/);
  });
});

/** A Cloud Controller and a UAA in one, each of whose answers may be another. */
class StubPlatform {
  /** Answers in the place of the usual ones, by path. */
  readonly answers = new Map<string, (response: ServerResponse) => unknown>();
  /** What comes with the token. */
  tokens: Record<string, unknown> = {};

  private constructor(readonly server: StubServer) {}

  static async start(tls?: Certificates): Promise<StubPlatform> {
    const stub = new StubPlatform(await StubServer.start(tls));
    stub.server.handler = (request, response) => {
      const [path = ''] = (request.url ?? '').split('?');
      const answer = stub.answers.get(path);
      if (answer) {
        return answer(response);
      }
      return send(response, 200, stub.#usual[path] ?? stub.permissions);
    };
    return stub;
  }

  permissions: unknown = { read: true, manage: false };

  get url(): string {
    return this.server.url;
  }

  get issuer(): string {
    return `${this.url}/oauth/token`;
  }

  reset(): void {
    this.answers.clear();
    this.tokens = {};
    this.permissions = { read: true, manage: false };
    this.server.asked.length = 0;
  }

  /** Answers with a status and a body. */
  answer(path: string, status: number, body: unknown, headers: Record<string, string> = {}): void {
    this.answers.set(path, (response) => {
      for (const [name, value] of Object.entries(headers)) {
        response.setHeader(name, value);
      }
      send(response, status, body);
    });
  }

  readonly discovered = (): Record<string, unknown> => ({
    issuer: this.issuer,
    authorization_endpoint: `${this.url}/oauth/authorize`,
    token_endpoint: this.issuer,
    userinfo_endpoint: `${this.url}/userinfo`,
    jwks_uri: `${this.url}/token_keys`,
    id_token_signing_alg_values_supported: ['RS256', 'HS256'],
  });

  get #usual(): Record<string, unknown> {
    return {
      '/': { links: { self: { href: this.url }, login: null, uaa: { href: `${this.url}/` } } },
      [DISCOVERY]: this.discovered(),
      '/oauth/token': { access_token: 'confidential', token_type: 'bearer', expires_in: 599, ...this.tokens },
      '/userinfo': { sub: 'a-user-guid', user_id: 'a-user-guid', user_name: 'grace@example.com' },
    };
  }
}

const DISCOVERY = '/.well-known/openid-configuration';
const PERMISSIONS = '/v3/service_instances/i/permissions';

/** As UAA makes them; nobody checks the signature of one that comes from UAA itself. */
function idToken(claims: Record<string, unknown>): string {
  const now = Math.floor(Date.now() / 1000);
  const parts = [
    { alg: 'HS256', typ: 'JWT', kid: 'key-1' },
    {
      sub: 'a-user-guid',
      aud: [CLIENT.id],
      azp: CLIENT.id,
      iat: now,
      exp: now + 600,
      auth_time: now,
      amr: ['pwd'],
      acr: { values: ['urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport'] },
      scope: ['openid'],
      user_name: 'ada@example.com',
      ...claims,
    },
  ];
  const [header, payload] = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'));
  return `${header}.${payload}.c2lnbmF0dXJl`;
}

describe('A platform that may misbehave', () => {
  let stub: StubPlatform;
  let platform: Platform;

  before(async () => {
    stub = await StubPlatform.start();
  });
  after(() => stub?.server.stop());
  beforeEach(() => {
    stub.reset();
    platform = platformAt(stub.url);
  });

  const begin = (of = platform) => of.begin(DEPLOYMENT, CLIENT.redirectUri);
  /** The address that a browser comes back to. */
  const answerTo = (location: string, parameters: Record<string, string> = { code: 'confidential' }) => {
    const state = new URL(location).searchParams.get('state') ?? '';
    return new URL(`${CLIENT.redirectUri}?${new URLSearchParams({ state, ...parameters })}`);
  };
  /** @param prepare is told the nonce */
  const signIn = async (prepare?: (nonce: string) => void) => {
    const { location, flow } = await begin();
    prepare?.(new URL(location).searchParams.get('nonce') ?? '');
    return platform.finish(DEPLOYMENT, flow, answerTo(location));
  };
  /** Each call of UAA and the Cloud Controller, by path, and what makes it. */
  const calls: [path: string, call: () => Promise<unknown>][] = [
    ['/', () => begin()],
    [DISCOVERY, () => begin()],
    ['/oauth/token', () => signIn()],
    ['/userinfo', () => signIn()],
    [PERMISSIONS, () => platform.permission('i', 'a-token')],
  ];

  it('asks UAA for the name where no id_token comes', async () => {
    assert.deepEqual(await signIn(), { user: 'grace@example.com', token: 'confidential' });
    assert.deepEqual(stub.server.asked, ['GET /', `GET ${DISCOVERY}`, 'POST /oauth/token', 'GET /userinfo']);
  });

  it('takes the name from an id_token as UAA makes them', async () => {
    const { user } = await signIn((nonce) => {
      stub.tokens = {
        id_token: idToken({ iss: stub.issuer, nonce }),
        scope: 'cloud_controller_service_permissions.read openid',
        jti: 'x',
      };
    });
    assert.equal(user, 'ada@example.com');
    assert.ok(!stub.server.asked.includes('GET /userinfo'));
  });

  it('takes no id_token that is not for this sign-in', async () => {
    const wrong: [RegExp, (nonce: string) => Record<string, unknown>][] = [
      [/nonce/, () => ({ iss: stub.issuer, nonce: 'confidential' })],
      [/nonce/, () => ({ iss: stub.issuer })],
      [/aud/, (nonce) => ({ iss: stub.issuer, nonce, aud: ['another'] })],
      [/iss/, (nonce) => ({ iss: 'https://uaa.other.test/oauth/token', nonce })],
      [/exp/, (nonce) => ({ iss: stub.issuer, nonce, exp: 1_000 })],
    ];
    for (const [reason, claims] of wrong) {
      const failed = signIn((nonce) => {
        stub.tokens = { id_token: idToken(claims(nonce)) };
      });
      assert.match(await assertFails(failed, PlatformAway), reason);
    }
    for (const id_token of [null, 5, '', 'confidential', 'a.b.c']) {
      stub.tokens = { id_token };
      await assertFails(signIn(), PlatformAway);
    }
  });

  it('says what to do when the person allowed only a part', async () => {
    stub.tokens = { scope: 'openid' };
    await assertFails(signIn(), SignInRefused, /allow the dashboard to see your permissions/);
    stub.tokens = {};
    const headers = { 'www-authenticate': 'Bearer error="insufficient_scope", scope="openid"' };
    stub.answer('/userinfo', 403, { error: 'insufficient_scope' }, headers);
    await assertFails(signIn(), SignInRefused, /allow the dashboard to see who you are/);
  });

  it('tells what a person can mend from what passes and what the operator has to mend', async () => {
    const challenge = { 'www-authenticate': 'Basic realm="UAA/client", error="unauthorized"' };
    const answers: [Kind, RegExp, ...Parameters<StubPlatform['answer']>][] = [
      [SignInRefused, /client id and secret/, '/oauth/token', 401, { error: 'unauthorized' }, challenge],
      [SignInRefused, /client id and secret/, '/oauth/token', 401, { error: 'invalid_client' }],
      [SignInRefused, /used already/, '/oauth/token', 400, { error: 'invalid_grant' }],
      [SignInRefused, /used already/, '/oauth/token', 400, { error: 'Confidential: confidential' }],
      [PlatformAway, /^Try again/, '/oauth/token', 503, { error: 'confidential' }],
      [PlatformAway, /^Try again/, '/oauth/token', 400, { error: 'temporarily_unavailable' }],
      [PlatformAway, /^Try again/, '/oauth/token', 429, { error: 'limited' }],
    ];
    for (const [kind, message, ...answer] of answers) {
      stub.answer(...answer);
      await assertFails(signIn(), kind, message);
    }
    const errors: [Kind, RegExp, string][] = [
      [SignInRefused, /allow the dashboard/, 'access_denied'],
      [SignInRefused, /Ask Cloud Foundry's operator/, 'invalid_scope'],
      [SignInRefused, /Ask Cloud Foundry's operator/, 'Confidential confidential'],
      [PlatformAway, /^Try again/, 'server_error'],
    ];
    for (const [kind, message, error] of errors) {
      const { location, flow } = await begin();
      const url = answerTo(location, { error, error_description: 'confidential' });
      await assertFails(platform.finish(DEPLOYMENT, flow, url), kind, message);
    }
  });

  it('finds UAA once an hour, and again at once when that failed', async () => {
    let now = 1_000_000;
    const moved = platformAt(stub.url, { now: () => now });
    const finds = async (count: number) => {
      stub.server.asked.length = 0;
      await begin(moved);
      assert.deepEqual(stub.server.asked, ['GET /', `GET ${DISCOVERY}`].slice(0, count));
    };
    await finds(2);
    await finds(0);
    now += 59 * MINUTE_MS;
    await finds(0);
    now += MINUTE_MS;
    await finds(2);
    now -= 5 * MINUTE_MS;
    await finds(2);
    now += 60 * MINUTE_MS;
    stub.answer(DISCOVERY, 500, {});
    await assertFails(begin(moved), PlatformAway);
    stub.answers.clear();
    await finds(2);
  });

  it('uses the link to the sign-in where there is none to UAA', async () => {
    stub.answer('/', 200, { links: { login: { href: stub.url } } });
    assert.ok((await begin()).location.startsWith(`${stub.url}/oauth/authorize?`));
  });

  it('sends nothing to an address that is not https', async () => {
    for (const href of ['http://uaa.example.com', 'ftp://127.0.0.1', 'javascript:alert(1)', 'uaa', 5, null]) {
      stub.answer('/', 200, { links: { uaa: { href } } });
      await assertFails(begin(), PlatformAway);
    }
    stub.answers.clear();
    const { location, flow } = await begin();
    for (const endpoint of ['authorization_endpoint', 'token_endpoint', 'userinfo_endpoint']) {
      stub.answer(DISCOVERY, 200, { ...stub.discovered(), [endpoint]: 'http://uaa.example.com/x' });
      const other = platformAt(stub.url);
      const failed = other.finish(DEPLOYMENT, flow, answerTo(location));
      assert.match(await assertFails(failed, PlatformAway), /not an https URL/);
    }
    await assertFails(platformAt('http://api.example.com').permission('i', 'a-token'), PlatformAway);
  });

  for (const [path, call] of calls) {
    it(`is away when it answers ${path} with nonsense`, async () => {
      const nonsense = [
        '',
        'confidential',
        '[]',
        'null',
        '"text"',
        '{}',
        '{"links":5}',
        '{"access_token":5}',
        '\0',
      ];
      for (const body of nonsense) {
        stub.answer(path, 200, body);
        await assertFails(call(), PlatformAway, /^Try again/);
      }
      for (const status of [204, 301, 302, 400, 403, 418, 500, 503, 999]) {
        stub.answer(path, status, 'confidential', { location: '/elsewhere' });
        await assertFails(call(), PlatformAway, /^Try again/);
      }
      assert.ok(!stub.server.asked.includes('GET /elsewhere'), 'a redirect was followed');
    });

    it(`is away when its answer to ${path} is too large`, async () => {
      stub.answers.set(path, (response) => {
        response.setHeader('content-type', 'application/json');
        // Without an end.
        const write = () => response.write(' '.repeat(16 * 1024), (error) => error || setImmediate(write));
        write();
      });
      assert.match(await assertFails(call(), PlatformAway), /more than 65536 bytes/);
    });

    it(`is away when it breaks the connection to ${path}, or does not speak HTTP`, async () => {
      stub.answers.set(path, (response) => response.socket?.destroy());
      await assertFails(call(), PlatformAway);
      stub.answers.set(path, (response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 });
        response.write('{"confidential":', () => response.socket?.destroy());
      });
      await assertFails(call(), PlatformAway);
      stub.answers.set(path, (response) => response.socket?.end('confidential'));
      await assertFails(call(), PlatformAway);
    });

    it(`is away when it does not answer ${path} in time`, async () => {
      const silences: ((response: ServerResponse) => unknown)[] = [
        () => undefined,
        (response) => response.writeHead(200, { 'content-type': 'application/json' }).write('{'),
      ];
      for (const silence of silences) {
        stub.answers.set(path, silence);
        platform = platformAt(stub.url, { timeoutMs: 150 });
        const startedAt = performance.now();
        assert.match(await assertFails(call(), PlatformAway), /within 150 ms/);
        assert.ok(performance.now() - startedAt < 4_000);
      }
    });
  }

  it('has one deadline for all calls of a method', async () => {
    const slowly = (path: string, body: () => unknown) =>
      stub.answers.set(path, (response) => setTimeout(() => send(response, 200, body()), 300));
    slowly('/', () => ({ links: { uaa: { href: stub.url } } }));
    slowly(DISCOVERY, stub.discovered);
    platform = platformAt(stub.url, { timeoutMs: 500 });
    await assertFails(begin(), PlatformAway);
    platform = platformAt(stub.url, { timeoutMs: 5_000 });
    await begin();
  });

  it('is away when nobody listens', async () => {
    const gone = await StubServer.start();
    await gone.stop();
    platform = platformAt(gone.url);
    assert.match(await assertFails(begin(), PlatformAway), /ECONNREFUSED/);
    await assertFails(platform.permission('i', 'a-token'), PlatformAway);
  });

  it('tells what a person may do', async () => {
    const cases: [unknown, string | undefined][] = [
      [{ read: true, manage: true }, 'manage'],
      [{ read: true, manage: false }, 'read'],
      [{ read: false, manage: true }, 'manage'],
      [{ read: false, manage: false }, undefined],
    ];
    for (const [permissions, expected] of cases) {
      stub.permissions = permissions;
      assert.equal(await platform.permission('i', 'a-token'), expected);
    }
    for (const permissions of [{ read: true }, { read: 'true', manage: false }, { read: 1, manage: 1 }]) {
      stub.permissions = permissions;
      await assertFails(platform.permission('i', 'a-token'), PlatformAway);
    }
    stub.answer(PERMISSIONS, 404, {});
    assert.equal(await platform.permission('i', 'a-token'), undefined);
    stub.answer(PERMISSIONS, 401, {});
    await assertFails(platform.permission('i', 'a-token'), SignInExpired);
    stub.answer(PERMISSIONS, 500, {});
    assert.match(await assertFails(platform.permission('i', 'a-token'), PlatformAway), /answered 500/);
  });

  it('asks for the instance that was meant, whatever its id', async () => {
    const ids: [id: string, segment: string][] = [
      ['a/b', 'a%2Fb'],
      ['../../info', '..%2F..%2Finfo'],
      ['a?b#c', 'a%3Fb%23c'],
      ['%2e%2e', '%252e%252e'],
      ['a b\r\nc', 'a%20b%0D%0Ac'],
      ['...', '...'],
      ['é', '%C3%A9'],
    ];
    for (const [id, segment] of ids) {
      stub.server.asked.length = 0;
      assert.equal(await platform.permission(id, 'a-token'), 'read');
      assert.deepEqual(stub.server.asked, [`GET /v3/service_instances/${segment}/permissions`]);
    }
    stub.server.asked.length = 0;
    for (const id of ['', '.', '..', '\ud800']) {
      assert.equal(await platform.permission(id, 'a-token'), undefined);
    }
    for (const token of ['', 'confidential\r\nx: y', 'confidentiäl', 'confidential token']) {
      await assertFails(platform.permission('i', token), SignInExpired);
    }
    assert.deepEqual(stub.server.asked, []);
  });
});

describe('A platform with certificates of its own', () => {
  it('is trusted by its authority alone, from the sign-in to the permission', async () => {
    const certificates = await makeCertificates();
    const cloud = await TestPlatform.start(CLIENT, certificates);
    try {
      cloud.permissions.set('a/b', { read: true, manage: false });
      const platform = platformAt(cloud.api.url, { ca: certificates.ca });
      const { location, flow } = await platform.begin(DEPLOYMENT, CLIENT.redirectUri);
      const back = await cloud.browse(location);
      const { user, token } = await platform.finish(DEPLOYMENT, flow, back);
      assert.equal(user, 'ada@example.com');
      assert.equal(await platform.permission('a/b', token), 'read');

      const { ca: otherCa } = await makeCertificates();
      cloud.api.asked.length = 0;
      for (const other of [platformAt(cloud.api.url), platformAt(cloud.api.url, { ca: otherCa })]) {
        const reason = await assertFails(other.begin(DEPLOYMENT, CLIENT.redirectUri), PlatformAway);
        assert.match(reason, /CERT|SIGNATURE|ISSUER/);
        await assertFails(other.permission('a/b', token), PlatformAway);
      }
      assert.deepEqual(cloud.api.asked, []);
    } finally {
      await cloud.stop();
    }
  });
});
