import 'reflect-metadata';
import assert from 'node:assert/strict';
import { createHash, createPrivateKey, randomBytes, type webcrypto } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inspect } from 'node:util';
import { PemConverter, X509CertificateGenerator } from '@peculiar/x509';
import fc from 'fast-check';
import { type Config, ConfigError, type ExternalCluster, readConfig } from '../../src/config/config.js';
import { parseEndpoint } from '../../src/config/endpoints.js';

const KEY = Buffer.alloc(32, 7).toString('base64');
const BROKER = {
  BROKER_USERNAME: 'platform',
  BROKER_PASSWORD: 'a-long-password',
  BROKER_ENCRYPTION_KEY: KEY,
};
const EXTERNAL = { ...BROKER, ETCD_ENDPOINTS: 'https://etcd-1.example:2379', PORTAL: 'off' };

/** A self-signed certificate and its key, both in PEM. */
async function identity(): Promise<{ certificate: string; key: string }> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = (await crypto.subtle.generateKey(algorithm, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=etcd',
    keys,
    signingAlgorithm: algorithm,
  });
  const pkcs8 = await crypto.subtle.exportKey('pkcs8', keys.privateKey);
  return { certificate: certificate.toString('pem'), key: PemConverter.encode(pkcs8, 'PRIVATE KEY') };
}

function externalCluster(config: Config): ExternalCluster {
  assert.equal(config.cluster.kind, 'external');
  return config.cluster as ExternalCluster;
}

/** The lines with which `env` is refused. */
function refusals(env: NodeJS.ProcessEnv): string[] {
  try {
    readConfig(env);
  } catch (error) {
    assert.ok(error instanceof ConfigError, `a ConfigError, not ${inspect(error)}`);
    return error.message.split('\n');
  }
  return assert.fail(`${inspect(env)} should be refused`);
}

/** The message with which `env` is refused; it must be one line. */
function refusal(env: NodeJS.ProcessEnv): string {
  const [first = '', ...more] = refusals(env);
  assert.deepEqual(more, []);
  return first;
}

function bound(...services: object[]): NodeJS.ProcessEnv {
  return { ...BROKER, PORTAL: 'off', VCAP_SERVICES: JSON.stringify({ 'user-provided': services }) };
}

describe('readConfig', () => {
  describe('without any setting', () => {
    const config = readConfig({});

    it('has defaults for everything, with an embedded cluster', () => {
      const { catalogPath, ...rest } = config;
      assert.equal(path.basename(catalogPath), 'catalog.json');
      assert.deepEqual(rest, {
        port: 8080,
        host: '127.0.0.1',
        publicUrl: 'http://localhost:8080',
        region: 'local',
        trustProxy: 0,
        logLevel: 'info',
        dataDir: path.resolve('data'),
        brokerCredentials: [],
        encryptionKeys: [],
        cluster: { kind: 'embedded', members: 1 },
        backups: {
          place: { kind: 'folder', folder: path.resolve('data', 'backups') },
          graceMs: 30 * 86_400_000,
          restoreAcross: 'space',
        },
        compactionMs: 3_600_000,
        portal: { endpoints: [], listen: [], proxyProtocol: false },
      });
    });

    it('counts the empty string as not set, and ignores what it does not know', () => {
      const names = [
        'PORT',
        'ETCD_ENDPOINTS',
        'ETCD_CA_CERT',
        'BROKER_PASSWORD',
        'VCAP_SERVICES',
        'VCAP_APPLICATION',
      ];
      const env = Object.fromEntries(names.map((name) => [name, '']));
      assert.deepEqual(readConfig({ ...env, SOMETHING_ELSE: 'x' }), config);
    });
  });

  it('takes what is set', () => {
    const config = readConfig({
      PORT: '0',
      PUBLIC_URL: ' https://Broker.example.com/etcd// ',
      LOG_LEVEL: 'DEBUG',
      REGION: 'eu-de',
      TRUST_PROXY: '2',
      DATA_DIR: '/var/lib/broker',
      CATALOG: '/etc/broker/catalog.json',
      EMBEDDED_MEMBERS: '3',
      ETCD_BINARY: '/usr/bin/etcd',
      ETCD_ADVERTISED_ENDPOINTS: 'https://etcd.example.com:443',
      PORTAL: 'off',
    });
    assert.equal(config.publicUrl, 'https://broker.example.com/etcd');
    assert.equal(config.logLevel, 'debug');
    assert.equal(config.region, 'eu-de');
    assert.equal(config.trustProxy, 2);
    assert.equal(config.dataDir, '/var/lib/broker');
    assert.equal(config.catalogPath, '/etc/broker/catalog.json');
    assert.deepEqual(config.cluster, { kind: 'embedded', members: 3, etcdBinary: '/usr/bin/etcd' });
    assert.deepEqual(config.advertisedEndpoints, ['https://etcd.example.com:443']);
  });

  it('listens on loopback with an etcd of its own, and on all interfaces with a cluster, unless told otherwise', () => {
    assert.equal(readConfig(EXTERNAL).host, undefined);
    assert.equal(readConfig({ ...EXTERNAL, HOST: '10.1.2.3' }).host, '10.1.2.3');
    assert.equal(readConfig({ HOST: '::' }).host, '::');
  });

  it('compacts the history of its own etcd only, unless told otherwise', () => {
    assert.equal(readConfig(EXTERNAL).compactionMs, undefined);
    assert.equal(readConfig({ ...EXTERNAL, ETCD_COMPACTION: '90m' }).compactionMs, 5_400_000);
    assert.equal(readConfig({ ETCD_COMPACTION: 'off' }).compactionMs, undefined);
  });

  it('trusts a number of proxies, or those at some addresses', () => {
    const networks = 'loopback, 10.0.0.0/8,fd00::/8 ,192.0.2.1';
    assert.deepEqual(readConfig({ TRUST_PROXY: networks }).trustProxy, [
      'loopback',
      '10.0.0.0/8',
      'fd00::/8',
      '192.0.2.1',
    ]);
    for (const bad of ['21', '1.5', 'proxy.example', '10.0.0.0/33', '10.0.0.0/', 'loopback,']) {
      assert.match(refusal({ TRUST_PROXY: bad }), /^TRUST_PROXY must be a number of proxies .*loopback/);
    }
  });

  it('leaves the public address open when the port is not known yet', () => {
    assert.equal(readConfig({ PORT: '0' }).publicUrl, undefined);
  });

  it('takes the public address and one trusted proxy from the application that Cloud Foundry runs', () => {
    const env = {
      ...EXTERNAL,
      PORT: '61001',
      VCAP_APPLICATION: JSON.stringify({ name: 'b', uris: ['b.example.com', 'c.example'] }),
    };
    assert.equal(readConfig(env).publicUrl, 'https://b.example.com');
    assert.equal(readConfig(env).trustProxy, 1);
    assert.equal(readConfig({ ...env, TRUST_PROXY: '0' }).trustProxy, 0);
    assert.equal(readConfig({ ...env, PUBLIC_URL: 'https://x.example/' }).publicUrl, 'https://x.example');
    assert.equal(readConfig({ ...env, VCAP_APPLICATION: '{"uris":[]}' }).publicUrl, 'http://localhost:61001');
  });

  it("leaves the process's own environment as it was", () => {
    const before = { ...process.env };
    readConfig({
      ...bound({ name: 'etcd', credentials: { uri: 'https://u:p@h:1' } }),
      VCAP_APPLICATION: '{}',
    });
    assert.deepEqual({ ...process.env }, before);
  });

  it('reports every mistake at once, each on a line that names the variable and what would be right', () => {
    const said = refusals({
      PORT: '65536',
      LOG_LEVEL: 'loud',
      REGION: 'EU_de',
      PUBLIC_URL: 'ftp://broker.example',
      HOST: 'a host',
      EMBEDDED_MEMBERS: '2',
      ETCD_COMPACTION: '1 hour',
      ETCD_ENABLE_AUTH: 'yes',
      BROKER_USERNAME: 'a:b',
      BROKER_PASSWORD: 'eleven-char',
      BROKER_PREVIOUS_USERNAME: 'u',
      BROKER_ENCRYPTION_KEY: `c2hvcnQ=,${KEY}, ${KEY.slice(0, 43)}`,
      ETCD_ENDPOINTS: 'https://a:1,,etcd:2379',
      ETCD_USERNAME: 'root',
      ETCD_CA_CERT: '/no/such',
      ETCD_CLIENT_KEY: 'x',
      ETCD_ADVERTISED_ENDPOINTS: 'https://a:1,http://b:1',
      VCAP_SERVICES: '{"a":"hunter2"',
    }).sort();
    const expected = [
      /^BROKER_ENCRYPTION_KEY \(key 1\) must be 32 bytes .*openssl rand -base64 32/,
      /^BROKER_ENCRYPTION_KEY \(key 3\) is there twice/,
      /^BROKER_PASSWORD must have at least 12 characters/,
      /^BROKER_PREVIOUS_PASSWORD is not set but BROKER_PREVIOUS_USERNAME is; set both/,
      /^BROKER_USERNAME must not contain ":"/,
      /^EMBEDDED_MEMBERS must be 1, 3 or 5.*, not "2"/,
      /^ETCD_ADVERTISED_ENDPOINTS mixes/,
      /^ETCD_CA_CERT .*path.*ENOENT/,
      /^ETCD_CLIENT_CERT is not set but ETCD_CLIENT_KEY is/,
      /^ETCD_COMPACTION must be a whole number and s, m, h or d, such as 1h, or off, not "1 hour"/,
      /^ETCD_ENABLE_AUTH must be true or false, not "yes"/,
      /^ETCD_ENDPOINTS \(entry 2\) must be a URL like https:/,
      /^ETCD_PASSWORD is not set but ETCD_USERNAME is/,
      /^HOST must be a host name or an IP address.*, not "a host"/,
      /^LOG_LEVEL must be one of trace, debug.*silent, not "loud"/,
      /^PORT must be a whole number from 0 to 65535, not "65536"/,
      /^PORTAL_ENDPOINTS is not set/,
      /^PUBLIC_URL must be an http:\/\/ or https:\/\/ URL/,
      /^REGION must have lower-case letters.*, not "EU_de"/,
      /^VCAP_SERVICES must be a JSON object/,
    ];
    assert.equal(said.length, expected.length, said.join('\n'));
    for (const [index, pattern] of expected.entries()) {
      assert.match(said[index] ?? '', pattern);
    }
  });

  describe('refuses', () => {
    const previous = { BROKER_PREVIOUS_USERNAME: 'u', BROKER_PREVIOUS_PASSWORD: 'p-p-p-p-p-p-p' };
    const damaged = '-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----';
    const cases: [what: string, env: NodeJS.ProcessEnv, ...messages: RegExp[]][] = [
      ['a port that is no number', { PORT: 'http' }, /^PORT must be .*, not "http"/],
      ['a public address with a query', { PUBLIC_URL: 'https://b.example/?x=1' }, /^PUBLIC_URL/],
      [
        'a line break in a password',
        { ...BROKER, BROKER_PASSWORD: 'a-long-password\n' },
        /^BROKER_PASSWORD .*line/,
      ],
      ['a previous pair alone', previous, /^BROKER_PASSWORD is not set/, /^BROKER_USERNAME is not set/],
      [
        'a cluster of the operator without a sign-in for the platform and a key',
        { PORTAL: 'off', ETCD_ENDPOINTS: 'https://a' },
        /^BROKER_ENCRYPTION_KEY is not set.*openssl rand -base64 32/,
        /^BROKER_USERNAME and BROKER_PASSWORD are not set/,
      ],
      ['a path in an endpoint', { ...EXTERNAL, ETCD_ENDPOINTS: 'https://a:1/v3' }, /without a path/],
      ['a password in an endpoint', { ...EXTERNAL, ETCD_ENDPOINTS: 'https://u:p@a:1' }, /ETCD_PASSWORD/],
      ['a long host', { ...EXTERNAL, ETCD_ENDPOINTS: `https://${'a'.repeat(254)}` }, /^ETCD_ENDPOINTS must/],
      [
        'plain text',
        { ...EXTERNAL, ETCD_ENDPOINTS: 'http://etcd:2379' },
        /^ETCD_ENDPOINTS .*ETCD_ALLOW_PLAINTEXT=true/,
      ],
      [
        'a login without a cluster',
        { ETCD_USERNAME: 'root', ETCD_PASSWORD: 'p' },
        /^ETCD_PASSWORD is set but ETCD_ENDPOINTS is not/,
        /^ETCD_USERNAME is set but ETCD_ENDPOINTS is not/,
      ],
      ['a damaged certificate', { ...EXTERNAL, ETCD_CA_CERT: damaged }, /certificate 1 is damaged/],
      ['a file that is no PEM', { ...EXTERNAL, ETCD_CA_CERT: readConfig({}).catalogPath }, /holds no PEM/],
      [
        'a key for an authority',
        { ...EXTERNAL, ETCD_CA_CERT: '-----BEGIN KEY-----' },
        /^ETCD_CA_CERT holds no certificate/,
      ],
      ['services of another form', { VCAP_SERVICES: '{"etcd": "x"}' }, /^VCAP_SERVICES must hold an array/],
      [
        'an application that is a list',
        { VCAP_APPLICATION: '[]' },
        /^VCAP_APPLICATION must be a JSON object/,
      ],
      [
        'an etcd of its own on Cloud Foundry',
        { VCAP_APPLICATION: '{}' },
        /^ETCD_ENDPOINTS is not set .* on Cloud Foundry .* bind a service/,
      ],
    ];
    for (const [what, env, ...messages] of cases) {
      it(what, () => {
        const said = refusals(env).sort();
        assert.equal(said.length, messages.length, said.join('\n'));
        for (const [index, message] of messages.entries()) {
          assert.match(said[index] ?? '', message);
        }
      });
    }
  });

  it('never shows a secret, neither in an error nor when the settings are printed', () => {
    const hostile = 'hunter2-hunter2';
    const mistakes: NodeJS.ProcessEnv[] = [
      { ...EXTERNAL, BROKER_PASSWORD: `${hostile}\n` },
      { ...EXTERNAL, BROKER_ENCRYPTION_KEY: hostile },
      { ...EXTERNAL, ETCD_ENDPOINTS: `https://root:${hostile}@etcd:2379` },
      { ...EXTERNAL, PUBLIC_URL: `https://root:${hostile}@etcd:2379` },
      { ...EXTERNAL, ETCD_CLIENT_CERT: hostile, ETCD_CLIENT_KEY: hostile },
      { ...BROKER, VCAP_SERVICES: `{"x": "${hostile}"` },
      bound({ name: 'etcd', credentials: { uri: `ftp://root:${hostile}@etcd` } }),
      bound({ name: 'etcd', credentials: { uri: `https://root:${hostile}%zz@etcd` } }),
      bound({ name: 'etcd', credentials: { uri_cli: `etcdctl --user=root:${hostile}` } }),
    ];
    for (const env of mistakes) {
      assert.doesNotMatch(refusals(env).join('\n'), /hunter2/);
    }
    const config = readConfig({
      ...EXTERNAL,
      BROKER_PASSWORD: hostile,
      ETCD_USERNAME: 'root',
      ETCD_PASSWORD: hostile,
    });
    for (const printed of [JSON.stringify(config), inspect(config, { depth: 9 })]) {
      assert.ok(!printed.includes(hostile) && !printed.includes(KEY), printed);
    }
  });

  describe('access to the broker', () => {
    it('puts the current pair before the previous one', () => {
      const { brokerCredentials } = readConfig({
        ...BROKER,
        BROKER_PREVIOUS_USERNAME: 'old',
        BROKER_PREVIOUS_PASSWORD: 'the-old-password',
      });
      assert.deepEqual(
        brokerCredentials.map(({ username, password }) => [username, password.reveal()]),
        [
          ['platform', 'a-long-password'],
          ['old', 'the-old-password'],
        ],
      );
    });

    it('keeps the order of the keys and names each by its hash', () => {
      const keys = [randomBytes(32), randomBytes(32)];
      const { encryptionKeys } = readConfig({
        BROKER_ENCRYPTION_KEY: keys.map((key) => key.toString('base64')).join(' , '),
      });
      assert.deepEqual(
        encryptionKeys.map(({ id, key }) => [id, Buffer.from(key.reveal(), 'base64')]),
        keys.map((key) => [createHash('sha256').update(key).digest('hex').slice(0, 8), key]),
      );
    });
  });

  describe('endpoints', () => {
    const cases: [written: string, read: string[]][] = [
      ['https://etcd', ['https://etcd:2379']],
      ['https://etcd:443/', ['https://etcd:443']],
      ['HTTPS://Etcd.Example:1 , https://b:2', ['https://etcd.example:1', 'https://b:2']],
      ['https://a:1,https://A:1', ['https://a:1']],
      ['https://[2001:db8::1]', ['https://[2001:db8::1]:2379']],
      [
        'http://127.0.0.1:1,http://[::1]:2,http://localhost:3',
        ['http://127.0.0.1:1', 'http://[::1]:2', 'http://localhost:3'],
      ],
    ];
    for (const [written, read] of cases) {
      it(`reads ${written}`, () => {
        assert.deepEqual(
          externalCluster(readConfig({ ...EXTERNAL, ETCD_ENDPOINTS: written })).endpoints,
          read,
        );
      });
    }

    it('takes plain text beyond this machine only on request', () => {
      const env = { ...EXTERNAL, ETCD_ENDPOINTS: 'http://127.example.com:2379' };
      assert.match(refusal(env), /ETCD_ALLOW_PLAINTEXT/);
      assert.deepEqual(externalCluster(readConfig({ ...env, ETCD_ALLOW_PLAINTEXT: 'true' })).endpoints, [
        'http://127.example.com:2379',
      ]);
    });

    it('reads back what it wrote, and throws nothing but a ConfigError', () => {
      fc.assert(
        fc.property(fc.domain(), fc.integer({ min: 1, max: 65535 }), fc.boolean(), (host, port, tls) => {
          const endpoint = `${tls ? 'https' : 'http'}://${host}:${port}`;
          assert.equal(parseEndpoint(endpoint, 'X'), endpoint.toLowerCase());
        }),
      );
      const text = fc.oneof(
        fc.string(),
        fc.webUrl(),
        fc.string().map((tail) => `https://${tail}`),
      );
      fc.assert(
        fc.property(text, (endpoint) => {
          try {
            const canonical = parseEndpoint(endpoint, 'X');
            assert.equal(parseEndpoint(canonical, 'X'), canonical);
          } catch (error) {
            assert.ok(error instanceof ConfigError);
          }
        }),
      );
    });
  });

  describe('certificates', () => {
    let own: { certificate: string; key: string };
    let other: { certificate: string; key: string };
    let folder: string;

    before(async () => {
      own = await identity();
      other = await identity();
      folder = mkdtempSync(path.join(tmpdir(), 'config-'));
    });

    after(() => {
      rmSync(folder, { recursive: true });
    });

    it('are read from PEM text, text with literal \\n, base64 and a file', () => {
      const file = path.join(folder, 'ca.pem');
      writeFileSync(file, own.certificate);
      const forms = [
        own.certificate,
        own.certificate.replaceAll('\n', '\\n'),
        Buffer.from(own.certificate).toString('base64'),
        file,
      ];
      for (const form of forms) {
        const { caCertificate } = externalCluster(readConfig({ ...EXTERNAL, ETCD_CA_CERT: form }));
        assert.equal(caCertificate?.trim(), own.certificate.trim());
      }
    });

    it('may be several authorities', () => {
      const both = `${own.certificate}\n${other.certificate}`;
      const { caCertificate } = externalCluster(readConfig({ ...EXTERNAL, ETCD_CA_CERT: both }));
      assert.equal(caCertificate?.match(/BEGIN CERTIFICATE/g)?.length, 2);
    });

    it('come with the key that belongs to them', () => {
      const env = { ...EXTERNAL, ETCD_CLIENT_CERT: own.certificate };
      const cluster = externalCluster(
        readConfig({ ...env, ETCD_CLIENT_KEY: own.key.replaceAll('\n', '\\n') }),
      );
      assert.equal(cluster.clientCertificate?.trim(), own.certificate.trim());
      assert.equal(cluster.clientKey?.reveal().trim(), own.key.trim());
      assert.match(refusal({ ...env, ETCD_CLIENT_KEY: other.key }), /^ETCD_CLIENT_KEY does not belong/);
      assert.match(
        refusal({ ...env, ETCD_CLIENT_KEY: own.certificate }),
        /^ETCD_CLIENT_KEY holds no private key/,
      );
      const sealed = createPrivateKey(own.key).export({
        type: 'pkcs8',
        format: 'pem',
        cipher: 'aes-256-cbc',
        passphrase: 'p',
      });
      assert.match(
        refusal({ ...env, ETCD_CLIENT_KEY: String(sealed) }),
        /^ETCD_CLIENT_KEY is protected by a passphrase/,
      );
    });

    it('are refused beside http:// endpoints, where they have no effect', () => {
      const env = { ...EXTERNAL, ETCD_ENDPOINTS: 'http://localhost:2379', ETCD_CA_CERT: own.certificate };
      assert.match(refusal(env), /^ETCD_ENDPOINTS .*certificates/);
    });

    it('are taken from a bound service, unless the environment has others', () => {
      const env = bound({
        name: 'my-etcd',
        credentials: {
          uri: 'https://u:p@h:1',
          ca_certificate_base64: Buffer.from(own.certificate).toString('base64'),
          client_cert: own.certificate,
          client_key: own.key,
        },
      });
      const cluster = externalCluster(readConfig(env));
      assert.equal(cluster.caCertificate?.trim(), own.certificate.trim());
      assert.equal(cluster.clientKey?.reveal().trim(), own.key.trim());
      const overridden = externalCluster(readConfig({ ...env, ETCD_CA_CERT: other.certificate }));
      assert.equal(overridden.caCertificate?.trim(), other.certificate.trim());
    });
  });

  describe('a bound service', () => {
    const compose = {
      uri: 'https://root:s%3Acret@portal-1.example:17001',
      uri_direct_1: 'https://root:s%3Acret@portal-2.example:17002',
      uri_cli:
        'ETCDCTL_API=3 etcdctl --endpoints=https://portal-1.example:17001,https://portal-3.example:3 --user=root:s:cret member list -w table',
    };
    const taken: [what: string, service: object, endpoints: string[], login: [string, string] | undefined][] =
      [
        [
          'with all fields of Compose for etcd',
          { name: 'my-etcd', credentials: compose },
          ['https://portal-1.example:17001', 'https://portal-2.example:17002', 'https://portal-3.example:3'],
          ['root', 's:cret'],
        ],
        [
          'with a command line only',
          { name: 'e', tags: ['ETCD3'], credentials: { uri_cli: compose.uri_cli } },
          ['https://portal-1.example:17001', 'https://portal-3.example:3'],
          ['root', 's:cret'],
        ],
        [
          'with plain fields',
          {
            name: 'the-etcd',
            credentials: { endpoints: 'https://a:1,https://b', username: 'u', password: 'p%41' },
          },
          ['https://a:1', 'https://b:2379'],
          ['u', 'p%41'],
        ],
        [
          'with a list of endpoints and no login',
          { name: 'the-etcd', credentials: { endpoints: ['https://a:1', 'https://b:2'] } },
          ['https://a:1', 'https://b:2'],
          undefined,
        ],
        [
          'with portals in the order of their numbers',
          {
            name: 'the-etcd',
            credentials: {
              endpoints: [],
              uri_direct_10: 'https://j',
              uri_direct_2: 'https://b',
              uri: 'https://a',
              uri_direct_1: '',
            },
          },
          ['https://a:2379', 'https://b:2379', 'https://j:2379'],
          undefined,
        ],
      ];
    for (const [what, service, endpoints, login] of taken) {
      it(`${what} is used`, () => {
        const cluster = externalCluster(readConfig(bound(service, { name: 'logs', credentials: {} })));
        assert.deepEqual(cluster.endpoints, endpoints);
        assert.deepEqual(cluster.username && [cluster.username, cluster.password?.reveal()], login);
        assert.deepEqual(cluster.source, { service: (service as { name: string }).name });
      });
    }

    it('is found by its label', () => {
      const services = { 'compose-for-etcd': [{ name: 'db', credentials: { uri: 'https://a' } }] };
      const cluster = externalCluster(
        readConfig({ ...BROKER, PORTAL: 'off', VCAP_SERVICES: JSON.stringify(services) }),
      );
      assert.deepEqual(cluster.source, { service: 'db' });
    });

    it('does not matter when ETCD_ENDPOINTS is set', () => {
      const env = bound({ name: 'my-etcd', credentials: { uri: 'nonsense' } });
      const cluster = externalCluster(readConfig({ ...env, ETCD_ENDPOINTS: 'https://a:1' }));
      assert.deepEqual(cluster.endpoints, ['https://a:1']);
      assert.equal(cluster.source, 'environment');
    });

    it('that does not say etcd is not used', () => {
      assert.equal(readConfig(bound({ name: 'redis', credentials: {} })).cluster.kind, 'embedded');
    });

    const refused: [what: string, services: object[], message: RegExp][] = [
      [
        'beside another one',
        [
          { name: 'etcd-a', credentials: compose },
          { name: 'b', tags: ['etcd'] },
        ],
        /"etcd-a", "b".*ETCD_ENDPOINTS.*unbind/,
      ],
      ['without credentials', [{ name: 'etcd-a' }], /"etcd-a".*"uri" is missing/],
      [
        'with a number for a uri',
        [{ name: 'etcd-a', credentials: { uri: 3 } }],
        /"etcd-a".*"uri" must be a string/,
      ],
      [
        'with an empty user',
        [{ name: 'etcd-a', credentials: { uri: 'https://:p@a' } }],
        /"uri" must hold user:password/,
      ],
      [
        'with half of a certificate',
        [{ name: 'etcd-a', credentials: { uri: 'https://a', client_cert: 'x' } }],
        /"client_key" is missing/,
      ],
      ['with half a login', [{ name: 'etcd-a', credentials: { username: 'u' } }], /"password" is missing/],
      [
        'with a bad portal',
        [{ name: 'etcd-a', credentials: { uri_direct_1: 'x' } }],
        /"uri_direct_1" must look like/,
      ],
      [
        'with a list of numbers',
        [{ name: 'etcd-a', credentials: { endpoints: [1] } }],
        /"endpoints" must be/,
      ],
      [
        'without endpoints in the command line',
        [{ name: 'etcd-a', credentials: { uri_cli: 'etcdctl' } }],
        /"uri_cli" must hold --endpoints/,
      ],
      [
        'with a bad certificate',
        [{ name: 'etcd-a', credentials: { uri: 'https://a', ca_certificate_base64: '????' } }],
        /"ca_certificate_base64" must be PEM/,
      ],
      [
        'with plain text',
        [{ name: 'etcd-a', credentials: { uri: 'http://a' } }],
        /"etcd-a".*ETCD_ALLOW_PLAINTEXT/,
      ],
    ];
    for (const [what, services, message] of refused) {
      it(`${what} is refused`, () => {
        assert.match(refusal(bound(...services)), message);
      });
    }
  });

  describe('portals', () => {
    const PORTALS = { ...BROKER, ETCD_ENDPOINTS: 'https://etcd-1.example:2379' };

    it('must be named, or refused on purpose, with a cluster of the operator’s', () => {
      assert.match(refusal(PORTALS), /^PORTAL_ENDPOINTS is not set; .*PORTAL=off/);
      assert.equal(readConfig({ ...PORTALS, PORTAL: 'off' }).portal, undefined);
      assert.equal(readConfig(PORTALS, 'tools').portal, undefined);
      const PORTAL_ENDPOINTS = 'https://p-1.example:17001,https://p-2.example:17001';
      assert.deepEqual(
        readConfig({ ...PORTALS, PORTAL_ENDPOINTS }).portal?.endpoints,
        PORTAL_ENDPOINTS.split(','),
      );
    });

    it('are refused with settings that contradict each other, all at once', () => {
      const PORTAL_ENDPOINTS = 'https://p-1.example:17001';
      assert.match(refusal({ ...PORTALS, PORTAL_ENDPOINTS, PORTAL: 'off' }), /PORTAL is off/);
      const found = refusals({
        ...PORTALS,
        PORTAL_ENDPOINTS: 'http://p-1.example:1',
        PORTAL_LISTEN: '99999',
        PORTAL_TLS_CERT: 'no file',
        PORTAL_PROXY_PROTOCOL: 'perhaps',
        ETCD_ADVERTISED_ENDPOINTS: 'https://x:1',
      });
      for (const name of ['ENDPOINTS', 'LISTEN', 'TLS_KEY', 'PROXY_PROTOCOL']) {
        assert.ok(
          found.some((line) => line.startsWith(`PORTAL_${name} `)),
          `${name}: ${found.join('\n')}`,
        );
      }
      assert.ok(found.some((line) => line.startsWith('ETCD_ADVERTISED_ENDPOINTS ')));
    });

    it('need no password of the platform, but an etcd user of their own', () => {
      const { BROKER_ENCRYPTION_KEY, ETCD_ENDPOINTS } = PORTALS;
      const env = { BROKER_ENCRYPTION_KEY, ETCD_ENDPOINTS, PORTAL_ENDPOINTS: 'https://p-1.example:1' };
      assert.throws(() => readConfig(env, 'portal'), /PORTAL_ETCD_PASSWORD is not set/);
      const { portal } = readConfig(
        { ...env, PORTAL_ETCD_PASSWORD: 'x', PORTAL_LISTEN: '[::]:2379' },
        'portal',
      );
      assert.deepEqual(portal?.listen, [{ host: '::', port: 2379 }]);
      assert.equal(portal?.login?.username, 'compose-etcd-portal');
    });
  });
});
