import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { signInLink } from '../../src/dashboard/address.js';
import { runningEmbeddedCluster } from '../../src/embedded/running.js';
import { EtcdClient } from '../../src/etcd/client.js';
import { ApiTokens } from '../../src/records/api-tokens.js';
import { DashboardLinks } from '../../src/records/dashboard-links.js';
import { keys } from '../../src/records/keys.js';
import { encodeRows } from '../../src/usage/encoding.js';
import { ROW_LENGTH } from '../../src/usage/row.js';
import { hourOf, MINUTES_AN_HOUR } from '../../src/usage/times.js';
import type { BrokerProcess } from '../broker-process.js';
import { CONNECTIONS, load } from '../http-load.js';
import { perSecond, type Row, spread } from '../row.js';
import { median } from '../statistics.js';

const INSTANCE = 'instance';
const PAGES = {
  Overview: '',
  Metrics: '/metrics?range=24h',
  Keys: '/keys?space=data',
  Settings: '/settings',
};
const CALLS = {
  'the deployment': '',
  'its bindings': '/bindings',
  'its usage of a day': '/usage?range=24h',
};
const KEYS = 200;
const BINDINGS = 20;
const HOURS = 25;

export interface PagesEffort {
  rounds: number;
  roundMs: number;
}

interface Subject {
  what: string;
  unit: string;
  /** What is asked, with who asks. */
  requests(round: number): Promise<readonly string[]>;
  /** What the bare server sends. */
  path: string;
}

/** Pages and calls from the broker, and the same bytes from bare Express, in turns. */
export async function measurePages(broker: BrokerProcess, { rounds, roundMs }: PagesEffort): Promise<Row[]> {
  const client = new EtcdClient(await runningEmbeddedCluster(broker.dataDir));
  const bodies: Record<string, { type: string; text: string }> = {};
  let bare: { child: ChildProcess; port: number } | undefined;
  try {
    const deployment = await fill(broker, client);
    const subjects = [...(await pageSubjects(broker, client, deployment)), ...callSubjects(broker, client)];
    for (const { requests, path: asked } of subjects) {
      const [request = ''] = await requests(-2); // before the first round
      bodies[asked] = await fetchOnce(broker.port, request);
    }
    bare = await startBare(bodies);
    const rows: Row[] = [];
    for (const subject of subjects) {
      console.error(subject.what);
      rows.push(await measure(broker, bare.port, subject, { rounds, roundMs }));
    }
    return rows;
  } finally {
    bare?.child.kill();
    client.close();
  }
}

async function measure(
  broker: BrokerProcess,
  barePort: number,
  { what, unit, requests, path: asked }: Subject,
  { rounds, roundMs }: PagesEffort,
): Promise<Row> {
  const bareRequest = [`GET ${asked} HTTP/1.1\r\nhost: 127.0.0.1:${barePort}\r\n\r\n`];
  const floors: number[] = [];
  const rates: number[] = [];
  for (let round = -1; round < rounds; round += 1) {
    const own = await requests(round);
    const turns = [
      async () => floors.push(await load(barePort, bareRequest, roundMs)),
      async () => rates.push(await load(broker.port, own, roundMs)),
    ];
    for (const turn of round % 2 === 0 ? turns : turns.toReversed()) {
      await turn();
    }
    if (round < 0) {
      floors.length = 0; // the first round only warms up
      rates.length = 0;
    }
  }
  const ratio = median(rates.map((rate, index) => rate / (floors[index] as number)));
  return {
    what: `${what}, ${CONNECTIONS} connections, ${unit} a second`,
    measured: perSecond(median(rates)),
    floor: `${perSecond(median(floors))} (an Express handler that sends the same bytes)`,
    figure: ratio.toFixed(2),
    reach: 'none',
    isReached: true,
    floorSpread: spread(floors),
  };
}

/** @returns the deployment's id */
async function fill(broker: BrokerProcess, client: EtcdClient): Promise<string> {
  await broker.provision(INSTANCE);
  let deployment = '';
  for (let index = 0; index < BINDINGS; index += 1) {
    deployment = JSON.parse(await broker.bind(INSTANCE, `binding-${index}`)).credentials.deployment_id;
  }
  for (let index = 0; index < KEYS; index += 1) {
    const key = Buffer.from(`/d/${deployment}/data/folder-${index % 20}/key-${index}`);
    await client.kv.put({ key, value: Buffer.from(`value ${index}`) });
  }
  const last = hourOf(Date.now()) - 1;
  await client.kv.put({ key: Buffer.from(keys.seriesFolded), value: Buffer.from(String(last)) });
  for (let hour = last - HOURS; hour <= last; hour += 1) {
    const rows = Array.from({ length: MINUTES_AN_HOUR }, (_, minute) => {
      const row = Array.from({ length: ROW_LENGTH }, () => Math.floor(Math.random() * 1_000));
      return [minute, row] as const;
    });
    const key = Buffer.from(keys.seriesMinutes(deployment, hour));
    await client.kv.put({ key, value: encodeRows(rows) });
  }
  return deployment;
}

async function pageSubjects(
  broker: BrokerProcess,
  client: EtcdClient,
  deployment: string,
): Promise<Subject[]> {
  const token = await new DashboardLinks(client).create(deployment, 'benchmark');
  const home = `http://127.0.0.1:${broker.port}`;
  const link = new URL(signInLink(home, deployment, token));
  const signedIn = await fetch(`${link.origin}${link.pathname}/sign-in`, {
    method: 'POST',
    redirect: 'manual',
    headers: { origin: home },
    body: new URLSearchParams({ link: new URLSearchParams(link.hash.slice(1)).get('link') ?? '' }),
  });
  const cookie = signedIn.headers
    .getSetCookie()
    .map((text) => text.split(';')[0])
    .join('; ');
  return Object.entries(PAGES).map(([name, place]) => {
    const address = `${link.pathname}${place}`;
    const request = `GET ${address} HTTP/1.1\r\nhost: 127.0.0.1:${broker.port}\r\ncookie: ${cookie}\r\n\r\n`;
    return {
      what: `page ${name}`,
      unit: 'pages',
      requests: async () => [request],
      path: `/page/${name}`,
    };
  });
}

/** Each round has tokens of its own, one for each connection, since each may ask so often only. */
function callSubjects(broker: BrokerProcess, client: EtcdClient): Subject[] {
  const tokens = new ApiTokens(client);
  return Object.entries(CALLS).map(([name, place]) => ({
    what: `administration API: ${name}`,
    unit: 'calls',
    requests: async (round) => {
      const instance = `${name.replaceAll(' ', '-')}-${round}`;
      await broker.provision(instance);
      const [deployment] = JSON.parse(await broker.bind(instance, 'b')).credentials.deployment_id.match(/.+/);
      const base = `/api/2016-07/instances/${instance}/deployments/${deployment}${place}`;
      return Promise.all(
        Array.from({ length: CONNECTIONS }, async () => {
          const made = await tokens.create(instance, '');
          return `GET ${base} HTTP/1.1\r\nhost: 127.0.0.1:${broker.port}\r\nauthorization: Bearer ${made?.token}\r\n\r\n`;
        }),
      );
    },
    path: `/call/${encodeURIComponent(name)}`,
  }));
}

/** An answer of the broker, which the bare server is to repeat. */
async function fetchOnce(port: number, request: string): Promise<{ type: string; text: string }> {
  const [first = '', ...lines] = request.trimEnd().split('\r\n');
  const [, address = ''] = first.split(' ');
  const headers = lines
    .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)] as [string, string])
    .filter(([name]) => name !== 'host');
  const answer = await fetch(`http://127.0.0.1:${port}${address}`, { headers });
  if (answer.status !== 200) {
    throw new Error(`${address} was answered with ${answer.status}: ${await answer.text()}`);
  }
  return { type: answer.headers.get('content-type') ?? '', text: await answer.text() };
}

async function startBare(bodies: object): Promise<{ child: ChildProcess; port: number }> {
  const child = fork(path.join(import.meta.dirname, 'bare-pages.js'), { execArgv: [] });
  child.send(bodies);
  const [port] = (await once(child, 'message')) as [number];
  return { child, port };
}
