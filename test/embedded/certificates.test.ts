import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type LeafRequest, openCertificates } from '../../src/embedded/certificates.js';

const DAY_MS = 24 * 60 * 60 * 1000;
const HOSTS = ['localhost', '127.0.0.1', '::1', 'etcd.example.org'];
const LEAVES: readonly LeafRequest[] = [
  { name: 'server', subject: 'CN=etcd', use: 'server', hosts: HOSTS },
  { name: 'peer', subject: 'CN=etcd-peer', use: 'peer', hosts: HOSTS },
  { name: 'broker', subject: 'CN=broker', use: 'client', hosts: [] },
];
/** OIDs of serverAuth and clientAuth. */
const [SERVER, CLIENT] = ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'];

describe('certificates', () => {
  let folder: string;
  const open = (now?: () => number, at = folder) => openCertificates(at, LEAVES, now);
  const read = (name: string) => readFile(path.join(folder, name), 'utf8');
  const keyOf = (pem: string) => pem.slice(pem.indexOf('-----BEGIN PRIVATE'));
  const certificateOf = (pem: string) => pem.slice(0, pem.indexOf('-----BEGIN PRIVATE'));

  beforeEach(async () => {
    folder = path.join(await mkdtemp(path.join(tmpdir(), 'certificates-')), 'certificates');
  });
  afterEach(() => rm(path.dirname(folder), { recursive: true, force: true }));

  it('makes an authority and signs certificates for a server, peers and a client', async () => {
    const { caCertificate } = await open();
    const ca = new X509Certificate(caCertificate);
    assert.ok(ca.ca && ca.verify(ca.publicKey), 'the authority signs itself');
    assert.ok((Date.parse(ca.validTo) - Date.now()) / DAY_MS > 3640, `ten years: ${ca.validTo}`);
    for (const { name, subject, use } of LEAVES) {
      const pem = await read(`${name}.pem`);
      const leaf = new X509Certificate(pem);
      assert.ok(leaf.verify(ca.publicKey) && leaf.checkIssued(ca), `${use} is signed by the authority`);
      assert.ok(leaf.checkPrivateKey(createPrivateKey(keyOf(pem))));
      assert.equal(leaf.subject, subject);
      assert.ok(Date.parse(leaf.validFrom) < Date.now() - DAY_MS / 2, `backdated: ${leaf.validFrom}`);
      const days = (Date.parse(leaf.validTo) - Date.now()) / DAY_MS;
      assert.ok(days > 364 && days < 366, `expected a year, saw ${days} days`);
      assert.deepEqual(
        leaf.keyUsage,
        { server: [SERVER], client: [CLIENT], peer: [SERVER, CLIENT] }[use as 'server'],
      );
      if (use !== 'client') {
        assert.equal(leaf.checkHost('etcd.example.org'), 'etcd.example.org');
        assert.ok(leaf.checkIP('127.0.0.1') && leaf.checkIP('::1'), leaf.subjectAltName);
      }
    }
  });

  it('keeps keys private, leaves no temporary files, and changes nothing that is in order', async () => {
    await open();
    const names = ['broker.pem', 'ca-key.pem', 'ca.pem', 'peer.pem', 'server.pem'];
    assert.deepEqual((await readdir(folder)).sort(), names);
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
    for (const name of names.filter((each) => each !== 'ca.pem')) {
      assert.equal((await stat(path.join(folder, name))).mode & 0o777, 0o600, name);
    }
    const before = await Promise.all(names.map(read));
    assert.deepEqual(await (await open()).renewIfNeeded(), []);
    assert.deepEqual(await Promise.all(names.map(read)), before);
  });

  it('renews within 30 days of the end, with the same key and authority', async () => {
    let now = Date.now();
    const certificates = await open(() => now);
    const before = await read('server.pem');
    now += 334 * DAY_MS;
    assert.deepEqual(await certificates.renewIfNeeded(), []);
    now += 3 * DAY_MS;
    assert.deepEqual(await certificates.renewIfNeeded(), ['server', 'peer', 'broker']);
    const after = await read('server.pem');
    assert.notEqual(after, before);
    assert.equal(keyOf(after), keyOf(before));
    assert.ok(new X509Certificate(after).verify(new X509Certificate(certificates.caCertificate).publicKey));
  });

  it('replaces a certificate that is damaged, mismatched or signed by another authority', async () => {
    const { caCertificate } = await open();
    const ca = new X509Certificate(caCertificate);
    const [own, peer] = [await read('server.pem'), await read('peer.pem')];
    const foreign = await readFile((await open(undefined, `${folder}-other`)).file('server'), 'utf8');
    for (const bad of ['', 'rubbish', certificateOf(own), certificateOf(own) + keyOf(peer), foreign]) {
      await writeFile(path.join(folder, 'server.pem'), bad);
      const again = await open();
      const pem = await read('server.pem');
      const leaf = new X509Certificate(pem);
      assert.ok(leaf.verify(ca.publicKey) && leaf.checkPrivateKey(createPrivateKey(keyOf(pem))), bad);
      assert.equal(again.caCertificate, caCertificate, 'the authority stays');
    }
  });

  it('goes on after a crash between the writes of the authority', async () => {
    await open();
    await rm(path.join(folder, 'ca.pem'));
    const { caCertificate, file } = await open();
    const leaf = new X509Certificate(await readFile(file('server')));
    assert.ok(leaf.verify(new X509Certificate(caCertificate).publicKey));
  });

  it('refuses a damaged authority rather than replacing what tenants trust', async () => {
    await open();
    const [caKey, peer] = [await read('ca-key.pem'), await read('peer.pem')];
    const file = path.join(folder, 'ca-key.pem');
    for (const bad of ['', 'rubbish', keyOf(peer)]) {
      await writeFile(file, bad);
      await assert.rejects(open(), /certificate authority is damaged/);
    }
    await rm(file);
    await assert.rejects(open(), /private key .*ca-key\.pem of the certificate authority is missing/);
    await writeFile(file, caKey);
    await open();
    await assert.rejects(
      open(() => Date.now() + 3700 * DAY_MS),
      /expired/,
    );
  });
});
