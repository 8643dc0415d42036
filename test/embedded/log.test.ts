import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Secret } from '../../src/credentials/secret.js';
import { startEmbeddedCluster } from '../../src/embedded/embedded-cluster.js';
import { isOlder } from '../../src/embedded/etcd-binary.js';
import { readLogLine } from '../../src/embedded/etcd-log.js';
import { EtcdClient } from '../../src/etcd/client.js';
import { availableEtcds } from '../support/etcd-versions.js';

const MARKER = 'marker4711';

describe("The embedded etcd's log", () => {
  it('names no key, user or password of a tenant, whatever etcd writes', async function () {
    this.timeout(60_000);
    for (const binary of await availableEtcds()) {
      const dataDir = await mkdtemp(path.join(tmpdir(), 'embedded-log-'));
      const [raw, pipe, program] = ['raw', 'pipe', 'etcd.sh'].map((name) => path.join(dataDir, name));
      // etcd as it is, except that all it writes is kept aside too.
      const script = `#!/bin/sh\nmkfifo ${pipe}\ntee ${raw} <${pipe} >&2 &\nexec ${binary.path} "$@" 2>${pipe}\n`;
      await writeFile(program as string, script, { mode: 0o755 });
      const logged: string[] = [];
      const cluster = await startEmbeddedCluster({
        dataDir,
        binary: { ...binary, path: program as string },
        members: 1,
        clientPorts: [0],
        log: (level, message, details) => logged.push(JSON.stringify({ level, message, details })),
        extraArguments: [
          '--log-level=debug',
          ...(isOlder(binary.version, '3.5') ? [] : ['--experimental-warning-apply-duration=1ns']),
        ],
      });
      const root = new EtcdClient(cluster);
      const tenant = new EtcdClient({ ...cluster, username: MARKER, password: new Secret(`${MARKER}-p`) });
      try {
        await root.auth.userAdd({ name: MARKER, password: `${MARKER}-p` });
        await assert.rejects(root.auth.userAdd({ name: MARKER, password: `${MARKER}-p` }));
        const key = Buffer.from(`/d/${MARKER}/key`);
        await root.kv.put({ key, value: Buffer.from(`${MARKER}-value`) });
        await assert.rejects(tenant.kv.range({ key }), /permission denied/);
        await assert.rejects(tenant.kv.put({ key, value: key }), /permission denied/);
        await root.auth.userChangePassword({ name: MARKER, password: `${MARKER}-q` });
        await assert.rejects(
          tenant.unauthenticated('Auth', 'authenticate', { name: MARKER, password: MARKER }, 5_000),
        );
        await root.auth.userDelete({ name: MARKER });
      } finally {
        root.close();
        tenant.close();
        await cluster.stop();
      }
      assert.ok((await readFile(raw as string, 'utf8')).includes(MARKER), `${binary.version} names nothing`);
      assert.ok(logged.length > 0);
      assert.deepEqual(
        logged.filter((line) => line.includes(MARKER)),
        [],
        binary.version,
      );
      await rm(dataDir, { recursive: true, force: true });
    }
  });

  it('repeats what is known to be harmless, with its numbers, and the place of the rest', () => {
    const line = (fields: object) =>
      JSON.stringify({ level: 'warn', caller: 'etcdserver/util.go:170', ...fields });
    assert.deepEqual(
      readLogLine(
        line({
          msg: 'apply request took too long',
          took: '120.5ms',
          'expected-duration': '100ms',
          request: `header:<username:"${MARKER}" > put:<key:"/d/${MARKER}" value_size:1 >`,
          prefix: `${MARKER}`,
        }),
      ),
      {
        level: 'warn',
        message: 'apply request took too long',
        details: { caller: 'etcdserver/util.go:170', took: '120.5ms', 'expected-duration': '100ms' },
      },
    );
    for (const withheld of [
      line({ msg: `invalid auth token ${MARKER}` }),
      `panic: ${MARKER}`,
      `{"${MARKER}"`,
    ]) {
      const read = readLogLine(withheld);
      assert.match(read?.message ?? '', /^wrote a line that is not repeated here/);
      assert.ok(!JSON.stringify(read).includes(MARKER));
    }
    assert.equal(readLogLine(line({ msg: 'simple token is not cryptographically signed' })), undefined);
  });
});
