import type { BrokerProcess } from './broker-process.js';
import type { Row } from './row.js';
import { inParallel, median, sleep } from './statistics.js';

const AT_ONCE = 32;
const REPORT_EVERY = 500;
const MOST_ATTEMPTS = 5;
const PAUSE_MS = 5_000;

/** Brings the number of bindings to `to`, spread over the instances. */
export async function fill(
  broker: BrokerProcess,
  instances: readonly string[],
  from: number,
  to: number,
): Promise<void> {
  let done = from;
  const startedAt = performance.now();
  await inParallel(to - from, AT_ONCE, async (index) => {
    const instance = instances[index % instances.length] as string;
    await bindPatiently(broker, instance, `filled-${from + index}`);
    done += 1;
    if (done % REPORT_EVERY === 0) {
      console.error(`  ${done} bindings after ${((performance.now() - startedAt) / 1_000).toFixed(0)} s`);
    }
  });
}

/** As a platform does: what was answered with 503 goes on, and is asked for again. */
async function bindPatiently(broker: BrokerProcess, instance: string, binding: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const { status, text } = await broker.tryBind(instance, binding);
    if (status === 201 || status === 200) {
      return;
    }
    if (status !== 503 || attempt === MOST_ATTEMPTS) {
      throw new Error(`The binding ${binding} can't be made: ${status} ${text}`);
    }
    await sleep(PAUSE_MS);
  }
}

/** Starts the broker anew several times; it runs afterwards. */
export async function startTimes(broker: BrokerProcess, starts: number): Promise<number> {
  const seen: number[] = [];
  for (let start = 0; start < starts; start += 1) {
    await broker.stop();
    seen.push(await broker.start());
  }
  return median(seen);
}

export function memory(bindings: number, none: number, filled: number): Row {
  const more = filled - none;
  return {
    what: `memory (RSS) with ${bindings} bindings`,
    measured: `${filled.toFixed(0)} MB`,
    floor: `${none.toFixed(0)} MB with none`,
    figure: `${more >= 0 ? '+' : ''}${more.toFixed(0)} MB`,
    reach: 'at most 60 MB more',
    isReached: more <= 60,
  };
}

export function start(bindings: number, none: number, filled: number): Row {
  const more = (filled - none) / 1_000;
  return {
    what: `start to ready with ${bindings} bindings`,
    measured: `${(filled / 1_000).toFixed(2)} s`,
    floor: `${(none / 1_000).toFixed(2)} s with none`,
    figure: `${more >= 0 ? '+' : ''}${more.toFixed(2)} s`,
    reach: 'at most 1 s more',
    isReached: more <= 1,
  };
}
