import assert from 'node:assert/strict';
import { EtcdError } from '../../src/etcd/errors.js';
import { ReadinessCheck } from '../../src/observability/readiness.js';

describe('/ready', () => {
  function readiness(alarms: string[] = []) {
    const asked = { probes: 0, failure: undefined as Error | undefined, alarms };
    const check = new ReadinessCheck(
      { maintenance: { alarm: async () => ({ alarms: asked.alarms.map((alarm) => ({ alarm })) }) } } as never,
      {
        counts: async () => ({ instances: 0, bindings: 0, open: 0 }),
        probe: async () => {
          asked.probes += 1;
          if (asked.failure !== undefined) {
            throw asked.failure;
          }
        },
      },
      { isAlive: true },
      () => undefined,
      'tenants are not kept apart',
    );
    return { asked, check };
  }
  /** An answer counts for half a second. */
  const later = () => new Promise((resolve) => setTimeout(resolve, 550));

  it('writes once, and not again while that is fresh', async () => {
    const { asked, check } = readiness();
    for (let call = 0; call < 3; call += 1) {
      assert.equal((await check.check()).ready, true);
      await later();
    }
    assert.equal(asked.probes, 1);
  });

  it('writes nothing when the broker has just written a record', async () => {
    const { asked, check } = readiness();
    check.wrote();
    assert.equal((await check.check()).ready, true);
    assert.equal(asked.probes, 0);
  });

  it('writes each time until it works again', async () => {
    const { asked, check } = readiness();
    asked.failure = new EtcdError('no-space', 'mvcc: database space exceeded');
    for (let call = 0; call < 2; call += 1) {
      assert.equal((await check.check()).checks.records, 'etcd has no space left');
      await later();
    }
    asked.failure = undefined;
    assert.equal((await check.check()).ready, true);
    assert.equal(asked.probes, 3);
  });

  it('tells what does not keep tenants apart, and is ready all the same', async () => {
    const { ready, isolation } = await readiness().check.check();
    assert.deepEqual([ready, isolation], [true, 'tenants are not kept apart']);
  });
});
