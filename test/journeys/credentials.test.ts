import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { connect as connectTls } from 'node:tls';
import { Etcd3 } from 'etcd3';
import { openCertificates } from '../../src/embedded/certificates.js';
import { makeCertificate, makeKey } from '../../src/embedded/x509.js';
import { startTestBroker, type TestBroker } from '../support/broker.js';
import { type Credentials, connect, runUriCli } from '../support/tenant.js';

describe('Credentials in the hands of real clients', () => {
  let broker: TestBroker;
  let credentials: Credentials;
  let caFile: string;
  const clients: Etcd3[] = [];
  const open = (etcd: Etcd3) => {
    clients.push(etcd);
    return etcd;
  };

  before(async () => {
    broker = await startTestBroker();
    assert.equal((await broker.provision('i')).status, 201);
    credentials = (await broker.bind('i', 'b')).body.credentials;
    caFile = path.join(broker.dataDir, 'ca-of-the-application.pem');
    await writeFile(caFile, Buffer.from(credentials.ca_certificate_base64, 'base64'));
  });
  after(() => broker.dispose());
  afterEach(() => {
    for (const client of clients.splice(0)) {
      client.close();
    }
  });

  it('etcdctl runs with the words of uri_cli and the authority', async () => {
    const key = `${credentials.key_prefix}example/words/hello`;
    assert.equal((await runUriCli(credentials.uri_cli, caFile, 'put', key, 'a greeting')).trim(), 'OK');
    assert.deepEqual((await runUriCli(credentials.uri_cli, caFile, 'get', key)).trim().split('\n'), [
      key,
      'a greeting',
    ]);
    const all = ['get', '--prefix', '--keys-only', credentials.key_prefix];
    assert.match(await runUriCli(credentials.uri_cli, caFile, ...all), /example\/words\/hello/);
    await assert.rejects(
      runUriCli(credentials.uri_cli, caFile, 'put', '/example/words/hello', 'x'),
      /permission denied/,
    );
    await assert.rejects(runUriCli(credentials.uri_cli, caFile, 'user', 'list'), /permission denied/);
  });

  it('an application that knows no prefix works in an etcd3 namespace', async () => {
    const etcd = open(connect(credentials, credentials.uri)).namespace(credentials.key_prefix);
    await etcd.put('/example/words/etcd').value('a store');
    const key = `${credentials.key_prefix}/example/words/etcd`;
    assert.match(await runUriCli(credentials.uri_cli, caFile, 'get', key), /a store/);
  });

  it('etcd3 connects with uri and with nothing to trust but the authority', async () => {
    const etcd = open(connect(credentials, credentials.uri));
    await etcd.put(`${credentials.key_prefix}etcd3`).value('yes');
    assert.equal(await etcd.get(`${credentials.key_prefix}etcd3`).string(), 'yes');
  });

  it('a client that trusts the public authorities, or another one, does not connect', async () => {
    const { origin, username, password } = new URL(credentials.uri);
    const [keyPem, now] = [await makeKey(), Date.now()];
    const stranger = await makeCertificate({
      subject: 'CN=a stranger',
      keyPem,
      use: 'authority',
      notBefore: now - 60_000,
      notAfter: now + 60_000,
    });
    for (const trust of [undefined, { rootCertificate: Buffer.from(stranger) }]) {
      const etcd = open(
        new Etcd3({
          hosts: origin,
          ...(trust === undefined ? {} : { credentials: trust }),
          auth: { username, password },
          defaultCallOptions: () => ({ deadline: Date.now() + 1_000 }),
        }),
      );
      await assert.rejects(etcd.get(`${credentials.key_prefix}x`).string());
    }
    await assert.rejects(certificateOf(credentials), { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' });
    const known = await certificateOf(credentials, Buffer.from(credentials.ca_certificate_base64, 'base64'));
    assert.match(known.subjectAltName ?? '', /DNS:localhost/);
  });

  it('clients connect before, during and after the renewal of the certificates', async () => {
    const ca = Buffer.from(credentials.ca_certificate_base64, 'base64');
    const earlier = await certificateOf(credentials, ca);
    const connected = open(connect(credentials, credentials.uri));
    const key = `${credentials.key_prefix}renewal`;
    await connected.put(key).value('before');
    // A missing certificate is made anew, as one is after a year.
    const folder = path.join(broker.dataDir, 'certificates');
    await rm(path.join(folder, 'server.pem'));
    const renewed = await openCertificates(folder, [
      { name: 'server', subject: 'CN=etcd', use: 'server', hosts: ['localhost'] },
    ]);
    assert.equal(renewed.caCertificate, ca.toString('utf8'));
    const later = await certificateOf(credentials, ca);
    assert.notEqual(later.serialNumber, earlier.serialNumber);
    assert.equal(await connected.get(key).string(), 'before');
    assert.equal(await open(connect(credentials, credentials.uri)).get(key).string(), 'before');
    assert.match(await runUriCli(credentials.uri_cli, caFile, 'get', key), /before/);
  });
});

describe('Credentials of a cluster of three', () => {
  let broker: TestBroker;

  before(async () => {
    broker = await startTestBroker({ EMBEDDED_MEMBERS: '3' });
  });
  after(() => broker.dispose());

  it('name two members in uri and uri_direct_1 and all three in uri_cli, and each of them serves', async () => {
    assert.equal((await broker.provision('i')).status, 201);
    const credentials: Credentials = (await broker.bind('i', 'b')).body.credentials;
    const { uri, uri_direct_1: direct, uri_cli: cli, key_prefix: prefix } = credentials;
    assert.ok(direct !== undefined);
    assert.notEqual(new URL(direct).host, new URL(uri).host);
    const key = `${prefix}word`;
    for (const [index, each] of [uri, direct].entries()) {
      const etcd = connect(credentials, each);
      try {
        await etcd.put(key).value(`by way ${index}`);
        assert.equal(await etcd.get(key).string(), `by way ${index}`);
      } finally {
        etcd.close();
      }
    }
    const caFile = path.join(broker.dataDir, 'ca-of-the-application.pem');
    await writeFile(caFile, Buffer.from(credentials.ca_certificate_base64, 'base64'));
    const word = cli.split(' ')[2] ?? '';
    assert.equal(word.split('=')[1]?.split(',').length, 3);
    assert.match(await runUriCli(cli, caFile, 'get', key), /by way 1/);
    const members = await runUriCli(cli, caFile, 'member', 'list', '-w', 'simple');
    assert.equal(members.trim().split('\n').length, 3);
  });
});

/** The certificate that the endpoint of `uri` shows. */
async function certificateOf({ uri }: Credentials, ca?: Buffer): Promise<X509Certificate> {
  const { port } = new URL(uri);
  const socket = connectTls({
    host: '127.0.0.1',
    port: Number(port),
    servername: 'localhost',
    ...(ca && { ca }),
  });
  try {
    await once(socket, 'secureConnect');
    return new X509Certificate(socket.getPeerCertificate().raw);
  } finally {
    socket.destroy();
  }
}
