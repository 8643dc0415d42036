import assert from 'node:assert/strict';
import fc from 'fast-check';
import { AdaptiveLimit } from '../../../src/portal/limits/adaptive-limit.js';
import { FAIRNESS_LIMITS, FairScheduler, Flow, type Waiting } from '../../../src/portal/limits/fairness.js';

/**
 * A simulated etcd: one server that takes `serviceMs` a request, first come first served, and an answer that is
 * `latencyMs` under way besides.
 */
class Simulation {
  now = 0;
  #freeAt = 0;
  readonly #events: { at: number; run: () => void }[] = [];

  constructor(
    readonly serviceMs: number,
    readonly latencyMs: number,
  ) {}

  at(time: number, run: () => void): void {
    let index = this.#events.length;
    while (index > 0 && (this.#events[index - 1] as { at: number }).at < time) {
      index -= 1;
    }
    this.#events.splice(index, 0, { at: time, run }); // the latest first
  }

  request(done: () => void): void {
    this.#freeAt = Math.max(this.now, this.#freeAt) + this.serviceMs;
    this.at(this.#freeAt + this.latencyMs, done);
  }

  runUntil(end: number): void {
    for (let event = this.#events.pop(); event !== undefined && event.at <= end; event = this.#events.pop()) {
      this.now = event.at;
      event.run();
    }
  }
}

interface Outcome {
  p99: number;
  greedy: number;
}

/** A tenant that sends one request after the other with pauses, besides one that has `greedy` under way all the time. */
function share(serviceMs: number, latencyMs: number, greedy: number, isFair: boolean): Outcome {
  const etcd = new Simulation(serviceMs, latencyMs);
  const scheduler = new FairScheduler(
    isFair ? FAIRNESS_LIMITS : { inFlight: 1e9, inFlightOfOne: 1e9, waitingOfOne: 1e9, quantum: 1 },
  );
  const adaptive = new AdaptiveLimit();
  const times: number[] = [];
  let done = 0;
  const warm = 2_000;
  const send = (flow: Flow, answered: (ms: number) => void) => {
    const asked = etcd.now;
    scheduler.submit(flow, {
      cost: 1,
      start: () => {
        const sent = etcd.now;
        etcd.request(() => {
          adaptive.observe('read', etcd.now - sent);
          scheduler.finish(flow);
          answered(etcd.now - asked);
        });
      },
    });
  };
  const modest = new Flow();
  const next = () =>
    send(modest, (ms) => {
      if (etcd.now > warm) {
        times.push(ms);
      }
      etcd.at(etcd.now + latencyMs * (1 + (times.length % 7) / 7), next);
    });
  next();
  const other = new Flow();
  const again = () =>
    send(other, () => {
      done += etcd.now > warm ? 1 : 0;
      again();
    });
  for (let index = 0; index < greedy; index += 1) {
    again();
  }
  const tick = () => {
    if (isFair) {
      const inFlight = adaptive.tick(scheduler.takeChanges() > 1);
      scheduler.limits = { ...FAIRNESS_LIMITS, inFlight, inFlightOfOne: Math.ceil(inFlight * 0.75) };
    }
    etcd.at(etcd.now + 100, tick);
  };
  tick();
  etcd.runUntil(warm + 2_000);
  times.sort((a, b) => a - b);
  return { p99: times[Math.floor(times.length * 0.99)] as number, greedy: done / 2_000 };
}

describe('The fair scheduler', () => {
  for (const [what, serviceMs, latencyMs] of [
    ['a quick etcd', 0.05, 0.2],
    ['an etcd with a slow disk', 0.05, 3],
    ['a distant etcd', 0.02, 1],
  ] as const) {
    it(`lets one tenant at full speed raise another's p99 by at most half at ${what}`, () => {
      const alone = share(serviceMs, latencyMs, 0, true);
      const beside = share(serviceMs, latencyMs, 500, true);
      const unfair = share(serviceMs, latencyMs, 500, false);
      assert.ok(beside.p99 <= 1.5 * alone.p99, `${beside.p99} ms beside, ${alone.p99} ms alone`);
      assert.ok(unfair.p99 > 3 * alone.p99, 'without it the promise would be broken');
      assert.ok(
        beside.greedy > 0.6 * unfair.greedy,
        `${beside.greedy} of ${unfair.greedy} a ms is left to it`,
      );
    });
  }

  it('starts at once what nobody waits before', () => {
    const scheduler = new FairScheduler();
    let started = 0;
    assert.equal(scheduler.submit(new Flow(), { cost: 1, start: () => started++ }), 'started');
    assert.equal(started, 1);
  });

  it('serves by cost, not by number', () => {
    const scheduler = new FairScheduler({ inFlight: 1, inFlightOfOne: 1, waitingOfOne: 1e6, quantum: 4 });
    const large = new Flow();
    const small = new Flow();
    const order: Flow[] = [];
    for (let index = 0; index < 400; index += 1) {
      scheduler.submit(large, { cost: 16, start: () => order.push(large) });
      scheduler.submit(small, { cost: 1, start: () => order.push(small) });
    }
    while (order.length < 300) {
      scheduler.finish(order.at(-1) as Flow);
    }
    const larges = order.filter((flow) => flow === large).length;
    assert.ok(larges > 10 && larges < 25, `${larges} large ones among 300`);
  });

  it('refuses a tenant that has too many waiting, and no other', () => {
    const scheduler = new FairScheduler({ inFlight: 2, inFlightOfOne: 1, waitingOfOne: 2, quantum: 4 });
    const greedy = new Flow();
    const job = { cost: 1, start: () => undefined };
    const results = [1, 2, 3, 4].map(() => scheduler.submit(greedy, job));
    assert.equal(results[0], 'started');
    assert.equal(results[3], 'refused');
    scheduler.cancel(greedy, results[2] as Waiting);
    assert.notEqual(scheduler.submit(greedy, job), 'refused');
    assert.equal(scheduler.submit(new Flow(), job), 'started');
  });

  it('starts each job that is not cancelled once, in order, within its bounds, whatever happens', () => {
    const step = fc.record({
      do: fc.constantFrom('submit', 'submit', 'finish', 'cancel'),
      flow: fc.nat(3),
      cost: fc.integer({ min: 1, max: 9 }),
      pick: fc.nat(),
      isQuick: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const limits = { inFlight: 3, inFlightOfOne: 2, waitingOfOne: 5, quantum: 2 };
        const scheduler = new FairScheduler(limits);
        const flows = [0, 1, 2, 3].map(() => new Flow());
        const running: Flow[] = [];
        const started = new Map<Flow, number[]>(flows.map((flow) => [flow, []]));
        const expected = new Map<Flow, Set<number>>(flows.map((flow) => [flow, new Set()]));
        const places: { flow: Flow; place: Waiting; id: number }[] = [];
        for (const [id, { do: what, flow: number, cost, pick, isQuick }] of steps.entries()) {
          const flow = flows[number] as Flow;
          if (what === 'submit') {
            const start = () => {
              started.get(flow)?.push(id);
              running.push(flow);
              assert.ok(scheduler.inFlight <= limits.inFlight);
              assert.ok(flow.inFlight <= limits.inFlightOfOne);
              if (isQuick) {
                running.pop();
                scheduler.finish(flow);
              }
            };
            const result = scheduler.submit(flow, { cost, start });
            if (result !== 'refused') {
              expected.get(flow)?.add(id);
            }
            if (typeof result === 'object') {
              places.push({ flow, place: result, id });
            }
          } else if (what === 'finish' && running.length > 0) {
            const [ended] = running.splice(pick % running.length, 1) as [Flow];
            scheduler.finish(ended);
          } else if (what === 'cancel' && places.length > 0) {
            const [one] = places.splice(pick % places.length, 1) as [(typeof places)[0]];
            if (!started.get(one.flow)?.includes(one.id)) {
              expected.get(one.flow)?.delete(one.id);
            }
            scheduler.cancel(one.flow, one.place);
          }
          const waits = flows.some((other) => other.waiting > 0 && other.inFlight < limits.inFlightOfOne);
          assert.ok(!waits || scheduler.inFlight === limits.inFlight, 'nobody waits while there is room');
        }
        while (running.length > 0) {
          scheduler.finish(running.pop() as Flow);
        }
        for (const flow of flows) {
          assert.deepEqual(started.get(flow), [...(expected.get(flow) ?? [])]);
          assert.equal(flow.waiting, 0);
        }
        assert.equal(scheduler.inFlight, 0);
      }),
      { numRuns: 500 },
    );
  });
});
