import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { memberMetrics, readMetrics } from '../../src/etcd/member-metrics.js';
import { availableEtcds } from '../support/etcd-versions.js';
import { OperatorEtcd } from '../support/operator-etcd.js';

const binaries = await availableEtcds();

describe("A member's metrics", () => {
  for (const binary of binaries) {
    it(`tell its version, sizes and quota without a login, etcd ${binary.version}`, async () => {
      const etcd = await OperatorEtcd.start({ binary, tls: 'none' });
      try {
        const address = { endpoints: [etcd.endpoint] };
        const { version, hasLeader, appliedIndex, size, inUse, quota } = await memberMetrics(
          etcd.endpoint,
          address,
          5_000,
        );
        assert.deepEqual([version, hasLeader, quota], [binary.version, true, 2 * 1024 ** 3]);
        assert.ok(appliedIndex > 0 && size >= inUse && inUse > 0);
      } finally {
        await etcd.stop();
      }
    });
  }

  it('are not looked for in what is not etcd’s, nor in an answer without an end', async () => {
    assert.throws(() => readMetrics('up 1\n'), /has no etcd_server_version/);
    assert.throws(
      () => readMetrics('etcd_server_version{server_version="3.5.30"} 1\n'),
      /has no etcd_server_has_leader/,
    );
    const server = createServer((request, response) => {
      if (request.headers.host?.startsWith('localhost')) {
        response.writeHead(404).end();
      } else {
        const line = 'x'.repeat(64 * 1024);
        const more = () => {
          while (response.write(line)) {}
        };
        response.on('drain', more);
        more();
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      const ask = (host: string) => memberMetrics(`http://${host}:${port}`, { endpoints: [] }, 5_000);
      await assert.rejects(ask('127.0.0.1'), /larger than/);
      await assert.rejects(ask('localhost'), /answers 404/);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});
