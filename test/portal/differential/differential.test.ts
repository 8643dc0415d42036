import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { availableEtcds } from '../../support/etcd-versions.js';
import { OperatorEtcd } from '../../support/operator-etcd.js';
import type { Credentials } from '../../support/tenant.js';
import { PortalHouse } from '../support/portal.js';
import { RawClient } from '../support/raw-client.js';
import { programs } from './program.js';
import { World } from './world.js';

/** The same programs each time; others, and longer on each version, with `DIFFERENTIAL_SECONDS=600 SEED=2`. */
const SECONDS = Number(process.env.DIFFERENTIAL_SECONDS ?? 10);
const MOST_PROGRAMS = process.env.DIFFERENTIAL_SECONDS === undefined ? 200 : Number.POSITIVE_INFINITY;
/** So long a program that fails is made smaller. */
const SMALLER_MS = 10_000;
const NEIGHBOUR_PAUSE_MS = 2;
const seed = Number(process.env.SEED ?? 1);

for (const binary of await availableEtcds()) {
  describe(`Random programs through a portal and on a bare etcd ${binary.version}`, () => {
    let house: PortalHouse;
    let etcd: OperatorEtcd;
    let worlds: World[] = [];
    let neighbour: RawClient;
    let isOver = false;
    let busy: Promise<number>;

    /** Another tenant, with the same keys and leases. */
    async function disturb(): Promise<number> {
      const keys = ['a', 'a/1', 'b', 'first', '\xff'].map((text) => Buffer.from(text, 'latin1'));
      let calls = 0;
      while (!isOver) {
        const key = keys[calls % keys.length];
        await neighbour.call('KV/Put', { key, value: Buffer.from('a neighbour’s'), prev_kv: true });
        if (calls % 7 === 0) {
          await neighbour.call('KV/DeleteRange', { key: Buffer.from([0]), range_end: Buffer.from([0]) });
        }
        calls += 1;
        await sleep(NEIGHBOUR_PAUSE_MS);
      }
      return calls;
    }

    before(async () => {
      house = await PortalHouse.start({ ETCD_BINARY: binary.path });
      etcd = await OperatorEtcd.start({ binary, tls: 'none' });
      const credentials: Credentials = await house.bind('i', 'b');
      worlds = await Promise.all([
        World.open(Number(new URL(etcd.endpoint).port), { username: 'root', password: etcd.rootPassword }),
        World.open(house.running.port, credentials),
      ]);
      neighbour = await RawClient.open(house.running.port, await house.bind('neighbour', 'n'));
      busy = disturb();
      busy.catch(() => undefined); // the test says it
    });

    after(async () => {
      isOver = true;
      await busy?.catch(() => undefined);
      for (const client of [...worlds, neighbour]) {
        client?.close();
      }
      await house?.stop();
      await etcd?.stop();
    });

    it('answers are the same', async function () {
      this.timeout(SECONDS * 1_000 + 120_000);
      const [bare, portal] = worlds as [World, World];
      let count = 0;
      const endAt = performance.now() + SECONDS * 1_000;
      const sample = () => fc.sample(programs, { seed: seed + count, numRuns: 1 })[0] ?? [];
      const differs = async (program: ReturnType<typeof sample>) => {
        const [expected, got] = await Promise.all([bare.run(program), portal.run(program)]);
        assert.deepEqual(got, expected);
      };
      console.log(`      seed ${seed} (SEED=${seed} repeats the programs)`);
      for (; performance.now() < endAt && count < MOST_PROGRAMS; count += 1) {
        const program = sample();
        try {
          await differs(program);
        } catch (error) {
          throw await smallest(program, error as Error, differs);
        }
      }
      isOver = true;
      const others = await busy;
      console.log(
        `      ${count} programs, ${portal.checked} answers and events; a neighbour's ${others} calls`,
      );
      assert.ok(count > 0 && others > 0);
    });
  });
}

/** Leaves out steps as long as the program still fails, and says what is left. */
async function smallest<T>(program: T[], error: Error, run: (program: T[]) => Promise<void>): Promise<Error> {
  let [left, why] = [program, error];
  if (!(error instanceof assert.AssertionError)) {
    return new Error(`${told(program)}\n${error.message}`);
  }
  const endAt = performance.now() + SMALLER_MS;
  for (let index = left.length - 1; index >= 0 && performance.now() < endAt; index -= 1) {
    const without = left.toSpliced(index, 1);
    try {
      await run(without);
    } catch (failure) {
      if (!(failure instanceof assert.AssertionError)) {
        break; // not a difference any more, but an end of the connection
      }
      [left, why] = [without, failure as Error];
    }
  }
  return new Error(`${told(left)}\n${why.message}`);
}

const told = (program: unknown) =>
  JSON.stringify(program, (_name, value) =>
    value?.type === 'Buffer' ? Buffer.from(value.data).toString('latin1') : value,
  );
