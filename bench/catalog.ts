import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import path from 'node:path';
import type { BrokerProcess } from './broker-process.js';
import { perSecond, type Row, spread } from './row.js';
import { median } from './statistics.js';

const CONNECTIONS = 32;
const HEAD_END = '\r\n\r\n';

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
        const rate = await load(port, request, roundMs);
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

/**
 * Asks on 32 connections, again and again on each, and counts the answers. On plain sockets, since Node's HTTP
 * client costs more than the servers do and would level them.
 */
async function load(port: number, request: string, milliseconds: number): Promise<number> {
  const endAt = performance.now() + milliseconds;
  const startedAt = performance.now();
  const counts = await Promise.all(Array.from({ length: CONNECTIONS }, () => askUntil(endAt, port, request)));
  const answers = counts.reduce((sum, count) => sum + count, 0);
  return (answers / (performance.now() - startedAt)) * 1_000;
}

/** @returns the number of answers */
function askUntil(endAt: number, port: number, request: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    let answers = 0;
    let missing = 0;
    socket.on('connect', () => socket.write(request));
    socket.on('data', (chunk) => {
      // An answer's head is written in one piece, so it arrives in one.
      missing = (missing === 0 ? lengthOf(chunk) : missing) - chunk.length;
      if (missing > 0) {
        return;
      }
      answers += 1;
      if (performance.now() < endAt) {
        socket.write(request);
      } else {
        resolve(answers);
        socket.destroy();
      }
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('The server closed a connection')));
  });
}

/** The length of a whole answer, from its first bytes. */
function lengthOf(chunk: Buffer): number {
  const head = chunk.toString('latin1', 0, chunk.indexOf(HEAD_END) + HEAD_END.length);
  const body = /^HTTP\/1\.1 200 .*\r\ncontent-length: (\d+)\r\n/is.exec(head)?.[1];
  if (body === undefined) {
    throw new Error(`The catalog was answered with ${head.split('\r\n')[0]}`);
  }
  return head.length + Number(body);
}
