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
});
