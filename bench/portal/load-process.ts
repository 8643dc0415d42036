import { Connection, type ConnectionTarget } from '../../src/etcd/transport/connection.js';
import { inParallel, sleep } from '../statistics.js';
import { Lane, type LaneRequests } from './lane.js';
import type { IdleParams, LoadWay, RunParams, RunResult, WatchParams } from './load.js';
import { answerWith } from './peer.js';
import { Watchers } from './watchers.js';

const CALL_TIMEOUT_MS = 20_000;
const CONNECT_AT_ONCE = 16;

interface OpenWay {
  target: ConnectionTarget;
  token: string;
  requests: { [call: string]: LaneRequests };
  connections: Connection[];
}

const ways = new Map<string, OpenWay>();
const idle: Connection[] = [];

/** Encoded requests come as base64, once. */
function open({ name, target, token, calls }: LoadWay): void {
  const requests: OpenWay['requests'] = {};
  for (const [call, { path, messages }] of Object.entries(calls)) {
    requests[call] = { path, messages: messages.map((text) => Buffer.from(text, 'base64')) };
  }
  ways.set(name, { target, token, requests, connections: [] });
}

/** Calls in a closed loop, so many at once over so many connections, for a time. */
async function run({ way: name, calls, atOnce, connections: count, ms }: RunParams): Promise<RunResult> {
  const way = wayOf(name);
  while (way.connections.length < count) {
    way.connections.push(await Connection.open(way.target));
  }
  const requests = calls.map((call) => way.requests[call] as LaneRequests);
  const startedAt = performance.now();
  const cpuBefore = process.cpuUsage();
  const times: number[] = [];
  const lanes = Array.from({ length: atOnce }, (_, index) => {
    const connection = way.connections[index % count] as Connection;
    return new Lane(
      connection,
      requests[index % requests.length] as LaneRequests,
      way.token,
      index,
      {
        untilMs: startedAt + ms,
        deadline: startedAt + ms + CALL_TIMEOUT_MS,
      },
      times,
    );
  });
  await Promise.all(lanes.map((lane) => lane.run()));
  const seconds = (performance.now() - startedAt) / 1_000;
  const { user, system } = process.cpuUsage(cpuBefore);
  times.sort((a, b) => a - b);
  const at = (part: number) => times[Math.floor(part * (times.length - 1))] as number;
  return {
    count: times.length,
    seconds,
    p50: at(0.5),
    p99: at(0.99),
    cpuSeconds: (user + system) / 1e6,
  };
}

/** Connections that make one call each and are silent then. */
async function openIdle({ way: name, count }: IdleParams): Promise<void> {
  const { target, token, requests } = wayOf(name);
  const { path, messages } = requests.get as LaneRequests;
  await inParallel(count, CONNECT_AT_ONCE, async () => {
    const connection = await Connection.open(target);
    idle.push(connection);
    const deadline = performance.now() + CALL_TIMEOUT_MS;
    await connection.unary(path, messages[0] as Buffer, { token, deadline });
  });
}

async function closeIdle(): Promise<number> {
  const open = idle.filter(({ state }) => state === 'open').length;
  for (const connection of idle.splice(0)) {
    connection.close();
  }
  await sleep(500);
  return open;
}

/** @returns events a second: those of all watchers together */
async function watch({ way: name, watchers, connections, puts, atOnce }: WatchParams): Promise<number> {
  const { target, token, requests } = wayOf(name);
  const watching = await Watchers.open(target, token, requests.watch as LaneRequests, watchers, connections);
  try {
    const writer = await Connection.open(target);
    const { path, messages } = requests.event as LaneRequests;
    const startedAt = performance.now();
    const deadline = startedAt + 6 * CALL_TIMEOUT_MS;
    const all = watching.received(puts, deadline);
    await inParallel(puts, atOnce, (index) =>
      writer.unary(path, messages[index % messages.length] as Buffer, { token, deadline }),
    );
    await all;
    const seconds = (performance.now() - startedAt) / 1_000;
    writer.close();
    return (watchers * puts) / seconds;
  } finally {
    watching.close();
  }
}

function wayOf(name: string): OpenWay {
  const way = ways.get(name);
  if (way === undefined) {
    throw new Error(`No way "${name}"`);
  }
  return way;
}

answerWith({ open, run, openIdle, closeIdle, watch });
