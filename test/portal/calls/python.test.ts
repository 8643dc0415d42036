import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { startTestBroker, type TestBroker } from '../../support/broker.js';
import { pythonWithEtcd3 } from '../../support/debian-python.js';
import type { Credentials } from '../../support/tenant.js';

/** Each line that it prints is one thing that worked. */
const PROGRAM = `
import os, threading, etcd3
client = etcd3.client(host='localhost', port=int(os.environ['PORT']), ca_cert=os.environ['CA'],
                      user=os.environ['USER_NAME'], password=os.environ['PASSWORD'], timeout=10)
for n in range(3):
    client.put('p/%d' % n, 'v%d' % n)
print('prefix', [(m.key.decode(), v.decode()) for v, m in client.get_prefix('p/', sort_order='descend')])
print('range', [m.key.decode() for v, m in client.get_range('p/0', 'p/2')])
print('replace', client.replace('p/0', 'v0', 'new'), client.replace('p/0', 'v0', 'newer'))
print('transaction', client.transaction(
    compare=[client.transactions.value('p/0') == 'new', client.transactions.version('none') == 0],
    success=[client.transactions.put('p/0', 'done'), client.transactions.get('p/1')],
    failure=[client.transactions.delete('p/1')])[0])
lease = client.lease(60)
client.put('leased', 'v', lease=lease)
lease.refresh()
print('lease', lease.granted_ttl, [key.decode() for key in lease.keys])
lease.revoke()
print('revoked', client.get('leased')[0])
with client.lock('work', ttl=20) as lock:
    other = etcd3.client(host='localhost', port=int(os.environ['PORT']), ca_cert=os.environ['CA'],
                         user=os.environ['USER_NAME'], password=os.environ['PASSWORD'], timeout=10)
    print('lock', lock.is_acquired(), other.get('/locks/work')[0] is not None)
print('next', other.lock('work', ttl=20).acquire(timeout=1))
events, cancel = client.watch_prefix('w/')
threading.Timer(0.2, lambda: (client.put('w/1', 'a'), client.delete('w/1'))).start()
print('watch', [(type(e).__name__, e.key.decode(), e.value.decode()) for e in (next(events), next(events))])
cancel()
print('deleted', client.delete_prefix('p/').deleted)
revision = client.get_response('p/').header.revision
client.compact(revision)
print('members', len(list(client.members)))
print('status', client.status().version.count('.'))
`;

describe("Debian's python3-etcd3 through a portal", () => {
  let broker: TestBroker;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'python-'));
    broker = await startTestBroker({ PORTAL: 'on' });
  });
  after(async () => {
    await broker?.dispose();
    await rm(folder, { recursive: true, force: true });
  });

  it('has prefixes, transactions, leases, locks, watches and compaction', async function () {
    this.timeout(180_000); // the client is brought the first time
    let python: Awaited<ReturnType<typeof pythonWithEtcd3>>;
    try {
      python = await pythonWithEtcd3();
    } catch (error) {
      console.log(`The client in Python is not run: ${(error as Error).message}`);
      return this.skip();
    }
    await broker.provision('python');
    const { uri, username, password, ca_certificate_base64 }: Credentials = (await broker.bind('python', 'b'))
      .body.credentials;
    const CA = path.join(folder, 'ca.pem');
    await writeFile(CA, Buffer.from(ca_certificate_base64, 'base64'));
    await writeFile(path.join(folder, 'program.py'), PROGRAM);
    const { stdout } = await promisify(execFile)(python.program, [path.join(folder, 'program.py')], {
      env: { ...python.env, CA, PORT: new URL(uri).port, USER_NAME: username, PASSWORD: password },
      timeout: 60_000,
    });
    assert.deepEqual(stdout.trim().split('\n'), [
      "prefix [('p/2', 'v2'), ('p/1', 'v1'), ('p/0', 'v0')]",
      "range ['p/0', 'p/1']",
      'replace True False',
      'transaction True',
      "lease 60 ['leased']",
      'revoked None',
      'lock True True',
      'next True',
      "watch [('PutEvent', 'w/1', 'a'), ('DeleteEvent', 'w/1', '')]",
      'deleted 3',
      'members 2',
      'status 2',
    ]);
  });
});
