import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type CertificateOptions, openCertificates } from '../../src/embedded/certificates.js';

const DAY_MS = 24 * 60 * 60 * 1000;

describe('certificates', () => {
  let folder: string;
  const open = (more: Partial<CertificateOptions> = {}) => openCertificates({ folder, ...more });
  const read = (name: string) => readFile(path.join(folder, name), 'utf8');
  const mode = async (name: string) => (await stat(path.join(folder, name))).mode & 0o777;

  beforeEach(async () => {
    folder = path.join(await mkdtemp(path.join(tmpdir(), 'certificates-')), 'certificates');
  });
  afterEach(() => rm(path.dirname(folder), { recursive: true, force: true }));

  it('makes an authority and signs certificates for server and peers', async () => {
    const certificates = await open({ hosts: ['etcd.example.org', '10.1.2.3'] });
    const ca = new X509Certificate(certificates.caCertificate);
    assert.equal(ca.ca, true);
    assert.ok(ca.verify(ca.publicKey), 'the authority signs itself');
    for (const use of ['server', 'peer'] as const) {
      const pem = await readFile(certificates.files[use], 'utf8');
      const leaf = new X509Certificate(pem);
      assert.ok(leaf.verify(ca.publicKey) && leaf.checkIssued(ca), `${use} is signed by the authority`);
      assert.ok(leaf.checkPrivateKey(createPrivateKey(pem.slice(pem.indexOf('-----BEGIN PRIVATE')))));
      assert.equal(leaf.checkHost('localhost'), 'localhost');
      assert.equal(leaf.checkHost('etcd.example.org'), 'etcd.example.org');
      for (const address of ['127.0.0.1', '::1', '10.1.2.3']) {
        assert.ok(leaf.checkIP(address), `${use} covers ${address}: ${leaf.subjectAltName}`);
      }
      assert.ok(Date.parse(leaf.validFrom) < Date.now() - DAY_MS / 2, `backdated: ${leaf.validFrom}`);
      const days = (Date.parse(leaf.validTo) - Date.now()) / DAY_MS;
      assert.ok(days > 364 && days < 366, `expected a year, saw ${days} days`);
      // OIDs of serverAuth and clientAuth
      const usage = ['1.3.6.1.5.5.7.3.1', ...(use === 'peer' ? ['1.3.6.1.5.5.7.3.2'] : [])];
      assert.deepEqual(leaf.keyUsage, usage);
    }
    assert.ok((Date.parse(ca.validTo) - Date.now()) / DAY_MS > 3640, `ten years: ${ca.validTo}`);
  });

  it('keeps keys private and leaves no temporary files', async () => {
    await open();
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
    for (const name of ['ca-key.pem', 'server.pem', 'peer.pem']) {
      assert.equal(await mode(name), 0o600, name);
    }
    assert.deepEqual((await readdir(folder)).sort(), ['ca-key.pem', 'ca.pem', 'peer.pem', 'server.pem']);
  });

  it('changes nothing when everything is in order, whatever the spelling of a host', async () => {
    await open({ hosts: ['FD00:0:0::1', 'Example.org'] });
    const before = await Promise.all(['ca.pem', 'server.pem', 'peer.pem'].map(read));
    const again = await open({ hosts: ['fd00::1', 'example.org'] });
    assert.deepEqual(await again.renewIfNeeded(), []);
    assert.deepEqual(await Promise.all(['ca.pem', 'server.pem', 'peer.pem'].map(read)), before);
  });

  it('renews within 30 days of the end, with the same key and authority', async () => {
    let now = Date.now();
    const certificates = await open({ now: () => now });
    const before = await read('server.pem');
    now += 334 * DAY_MS;
    assert.deepEqual(await certificates.renewIfNeeded(), []);
    now += 3 * DAY_MS;
    assert.deepEqual(await certificates.renewIfNeeded(), ['server', 'peer']);
    const after = await read('server.pem');
    assert.notEqual(after, before);
    assert.equal(
      after.slice(after.indexOf('-----BEGIN PRIVATE')),
      before.slice(before.indexOf('-----BEGIN PRIVATE')),
    );
    assert.ok(new X509Certificate(after).verify(new X509Certificate(certificates.caCertificate).publicKey));
  });

  it('makes new certificates when the hosts change', async () => {
    await open();
    const { files } = await open({ hosts: ['new.example.org'] });
    const leaf = new X509Certificate(await readFile(files.server));
    assert.equal(leaf.checkHost('new.example.org'), 'new.example.org');
  });

  it('replaces a server certificate that is damaged, mismatched or signed by another authority', async () => {
    const { caCertificate } = await open();
    const ca = new X509Certificate(caCertificate);
    const own = await read('server.pem');
    const peer = await read('peer.pem');
    const other = await openCertificates({ folder: `${folder}-other` });
    const foreign = await readFile(other.files.server, 'utf8');
    const certificateOf = (pem: string) => pem.slice(0, pem.indexOf('-----BEGIN PRIVATE'));
    const keyOf = (pem: string) => pem.slice(pem.indexOf('-----BEGIN PRIVATE'));
    for (const bad of ['', 'rubbish', certificateOf(own), certificateOf(own) + keyOf(peer), foreign]) {
      await writeFile(path.join(folder, 'server.pem'), bad);
      const again = await open();
      const pem = await readFile(again.files.server, 'utf8');
      const leaf = new X509Certificate(pem);
      assert.ok(
        leaf.verify(ca.publicKey) && leaf.checkPrivateKey(createPrivateKey(keyOf(pem))),
        bad.slice(0, 60),
      );
      assert.equal(again.caCertificate, caCertificate, 'the authority stays');
    }
  });

  it('goes on after a crash between the writes of the authority', async () => {
    await open();
    await rm(path.join(folder, 'ca.pem'));
    const { caCertificate, files } = await open();
    const leaf = new X509Certificate(await readFile(files.server));
    assert.ok(leaf.verify(new X509Certificate(caCertificate).publicKey));
  });

  it('refuses a damaged authority rather than replacing what tenants trust', async () => {
    await open();
    const caKey = await read('ca-key.pem');
    const peer = await read('peer.pem');
    const file = path.join(folder, 'ca-key.pem');
    for (const bad of ['rubbish', peer.slice(peer.indexOf('-----BEGIN PRIVATE'))]) {
      await writeFile(file, bad);
      await assert.rejects(open(), /certificate authority is damaged/);
    }
    await rm(file);
    await assert.rejects(open(), /private key .*ca-key\.pem of the certificate authority is missing/);
    await writeFile(file, caKey);
    await open();
    await assert.rejects(open({ now: () => Date.now() + 3700 * DAY_MS }), /expired/);
  });
});
