import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import type { BrokerProcess } from './broker-process.js';
import { CONNECTIONS, load } from './http-load.js';
import { perSecond, type Row, spread } from './row.js';
import { median } from './statistics.js';

/** The catalog from the broker and from bare Express, in rounds of so many milliseconds each. */
export async function catalog(broker: BrokerProcess, rounds: number, roundMs: number): Promise<Row> {
  const bare = await startBareExpress();
  try {
    const request = `GET /v2/catalog HTTP/1.1\r\n${broker.rawHeaders}\r\n`;
    const subjects = [
      { port: bare.port, rates: [] as number[] },
      { port: broker.port, rates: [] as number[] },
    ] as const;
    for (let round = -1; round < rounds; round += 1) {
      for (const { port, rates } of round % 2 === 0 ? subjects : subjects.toReversed()) {
        const rate = await load(port, [request], roundMs);
        if (round >= 0) {
          rates.push(rate); // the first round only warms up
        }
      }
    }
    const [floor, subject] = subjects;
    const ratio = median(subject.rates.map((rate, index) => rate / (floor.rates[index] as number)));
    return {
      what: `catalog, ${CONNECTIONS} connections, requests a second`,
      measured: perSecond(median(subject.rates)),
      floor: `${perSecond(median(floor.rates))} (an Express handler that sends the same bytes)`,
      figure: ratio.toFixed(2),
      reach: 'at least 0.75',
      isReached: ratio >= 0.75,
      floorSpread: spread(floor.rates),
    };
  } finally {
    bare.child.kill();
  }
}

async function startBareExpress(): Promise<{ child: ChildProcess; port: number }> {
  const child = fork(path.join(import.meta.dirname, 'bare-express.js'), { execArgv: [] });
  const [port] = (await once(child, 'message')) as [number];
  return { child, port };
}
