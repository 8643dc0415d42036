import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { Connection } from '../../../src/etcd/transport/connection.js';
import { TransportError } from '../../../src/etcd/transport/errors.js';
import { availableEtcds } from '../../support/etcd-versions.js';
import { OperatorEtcd, type OperatorEtcdOptions } from '../../support/operator-etcd.js';
import { bytesOf, fieldsOf, firstValue, putRequest, rangeRequest, watchRequest } from './support/messages.js';

const RANGE = '/etcdserverpb.KV/Range';
const PUT = '/etcdserverpb.KV/Put';
const WATCH = '/etcdserverpb.Watch/Watch';

const within = (ms: number) => ({ deadline: performance.now() + ms });

async function connect(
  etcd: OperatorEtcd,
  onClose?: (reason: Error | undefined) => void,
): Promise<Connection> {
  const { hostname, port } = new URL(etcd.endpoint);
  return await Connection.open(
    {
      host: hostname,
      port: Number(port),
      ...(etcd.caCertificate === undefined
        ? {}
        : {
            tls: {
              ca: etcd.caCertificate,
              ...(etcd.clientCertificate && etcd.clientKey
                ? { cert: etcd.clientCertificate, key: etcd.clientKey }
                : {}),
            },
          }),
    },
    onClose === undefined ? {} : { onClose },
  );
}

describe('the transport, against etcd', () => {
  const ways: NonNullable<OperatorEtcdOptions['tls']>[] = ['server', 'mutual', 'none'];
  for (const tls of ways) {
    for (const which of ['oldest', 'newest'] as const) {
      describe(`${which} etcd, ${tls === 'none' ? 'plain' : `TLS (${tls})`}`, () => {
        let etcd: OperatorEtcd;
        let connection: Connection;

        before(async function () {
          const binary = (await availableEtcds()).at(which === 'oldest' ? 0 : -1);
          if (binary === undefined || (which === 'newest' && (await availableEtcds()).length === 1)) {
            this.skip();
          }
          etcd = await OperatorEtcd.start({ binary, tls, authentication: false });
          connection = await connect(etcd);
        });

        after(async () => {
          connection?.close();
          await etcd?.stop();
        });

        it('puts and reads a key', async () => {
          await connection.unary(PUT, putRequest('greeting', 'hello'), within(5_000));
          const response = await connection.unary(RANGE, rangeRequest('greeting'), within(5_000));
          assert.equal(firstValue(response), 'hello');
        });

        it('gives the status that etcd answers with', async () => {
          await assert.rejects(connection.unary(RANGE, Buffer.alloc(0), within(5_000)), (error) => {
            assert.ok(error instanceof TransportError);
            assert.equal(error.code, 3);
            assert.equal(error.message, 'etcdserver: key is not provided');
            assert.equal(error.delivery, 'answered');
            return true;
          });
        });

        it('makes 1,000 calls at once', async () => {
          const keys = Array.from({ length: 1_000 }, (_, number) => `many/${number}`);
          await Promise.all(keys.map((key) => connection.unary(PUT, putRequest(key, key), within(30_000))));
          const responses = await Promise.all(
            keys.map((key) => connection.unary(RANGE, rangeRequest(key), within(30_000))),
          );
          assert.deepEqual(responses.map(firstValue), keys);
          assert.equal(connection.calls, 0);
        });

        it('watches', async () => {
          const values: string[] = [];
          const ended = new Promise<number>((resolve) => {
            const call = connection.call(WATCH, undefined, {
              onMessage(message) {
                const events = fieldsOf(message).filter(([field]) => field === 11);
                if (events.length === 0) {
                  void connection.unary(PUT, putRequest('watched', `${values.length}`), within(5_000));
                }
                for (const [, event] of events) {
                  values.push(bytesOf(bytesOf(event as Buffer, 2), 5).toString());
                  if (values.length === 3) {
                    call.cancel();
                  } else {
                    void connection.unary(PUT, putRequest('watched', `${values.length}`), within(5_000));
                  }
                }
              },
              onEnd: ({ code }) => resolve(code),
            });
            call.write(watchRequest('watched'));
          });
          assert.equal(await ended, 1);
          assert.deepEqual(values, ['0', '1', '2']);
        });
      });
    }
  }

  describe('over TLS', () => {
    let etcd: OperatorEtcd;

    before(async () => {
      etcd = await OperatorEtcd.start({ authentication: false });
    });

    after(() => etcd?.stop());

    const open = (host: string, tls: { ca?: string; serverName?: string }) =>
      Connection.open({ host, port: Number(new URL(etcd.endpoint).port), tls });

    it('keeps the text of what is wrong with a certificate', async () => {
      const ca = etcd.caCertificate as string;
      await assert.rejects(open('localhost', {}), {
        code: 14,
        delivery: 'not sent',
        message: /self-signed certificate|unable to verify/,
      });
      await assert.rejects(
        open('localhost', { ca, serverName: 'etcd.example.com' }),
        /altnames.*etcd\.example\.com/s,
      );
      await assert.rejects(open('localhost', { ca: 'no certificate' }), { code: 14, delivery: 'not sent' });
    });

    it('verifies an address as an address, without a warning of Node', async () => {
      const warnings: string[] = [];
      const note = ({ code, message }: Error & { code?: string }) => warnings.push(`${code} ${message}`);
      process.on('warning', note);
      try {
        const connection = await open('127.0.0.1', { ca: etcd.caCertificate as string });
        await connection.unary(RANGE, rangeRequest('none'), within(5_000));
        connection.close();
        const named = await open('127.0.0.1', { ca: etcd.caCertificate as string, serverName: 'localhost' });
        named.close();
      } finally {
        process.off('warning', note);
      }
      assert.deepEqual(warnings, []);
    });

    it('gives up an etcd that hangs, in well under 10 s', async () => {
      let reason: Error | undefined;
      const connection = await connect(etcd, (error) => {
        reason = error;
      });
      etcd.freeze();
      try {
        const startedAt = performance.now();
        const call = connection.unary(RANGE, rangeRequest('none'), within(60_000));
        await assert.rejects(call, { code: 14, delivery: 'unknown' });
        assert.ok(performance.now() - startedAt < 9_000);
        assert.match(`${reason}`, /silent/);
      } finally {
        etcd.thaw();
      }
    });

    it('fails its calls when etcd is killed', async () => {
      const connection = await connect(etcd);
      const ended = new Promise<string>((resolve) => {
        const call = connection.call(WATCH, undefined, {
          onMessage: () => process.kill(etcd.pid, 'SIGKILL'),
          onEnd: ({ code, delivery }) => resolve(`${code} ${delivery}`),
        });
        call.write(watchRequest('watched'));
      });
      assert.equal(await ended, '14 unknown');
      assert.equal(connection.state, 'closed');
    });
  });
});
