import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { keys } from '../../src/records/keys.js';
import type { Reply } from '../support/broker.js';
import { bindingPath, instancePath } from '../support/broker.js';
import { BrokerProcess } from './support/broker-process.js';
import { TestCluster } from './support/cluster.js';
import { type EtcdCall, EtcdProxy, type Verdict } from './support/etcd-proxy.js';
import { assertOracle, credentialsWork, type Inventory, takeInventory } from './support/oracle.js';

/*
 * First each operation runs undisturbed and the proxy notes its calls. Then, for each call and for both moments (right
 * before etcd gets it, right after etcd has carried it out), the broker is killed there, three times, for three ways to
 * go on.
 *
 * Starting a broker for each of these would take minutes, so one kill serves many cases, each an instance of its own
 * that stands at its own call. Cases know their calls by the ids in the messages. Where the call is a transaction, the
 * broker itself stands in the way: one is under way at a time, and what comes meanwhile goes together in the next. So
 * a transaction that is held holds all others right before theirs. To have all of them right after theirs, a decoy is
 * held until everyone waits behind it; then they go to etcd as one, whose answer is held.
 */

const OPERATIONS = ['provision', 'update', 'bind', 'rotate', 'unbind', 'deprovision'] as const;
type Operation = (typeof OPERATIONS)[number];
const CONTINUATIONS = ['the request again', 'a clean-up DELETE', 'nothing'] as const;
type Continuation = (typeof CONTINUATIONS)[number];
const MOMENTS = ['before', 'after'] as const;
type Moment = (typeof MOMENTS)[number];
const TRANSACTION = 'KV/Txn';
/** A transaction of the broker's, of which only one is under way at a time. */
const RECORDS = `${TRANSACTION} #`;
/** How long a case may take to stand at its call; an attempt's own time-out is 4 s. */
const HELD_WITHIN_MS = 3_500;
/** The same where another attempt is held as well; then the call's own limit counts, which is 8 s. */
const CALLS_HELD_WITHIN_MS = 7_000;
const QUIET_MS = 200;
const RECOVERED_WITHIN_MS = 10_000;
const KEYS = 5;

interface Case {
  name: string;
  operation: Operation;
  /** A kind of call and the how manieth of that kind, such as `KV/Txn #2`. */
  point: string;
  moment: Moment;
  continuation: Continuation;
  instance: string;
  binding: string;
  /** What the calls of this case carry, besides the instance's id. */
  deployment?: string;
  /** The different calls that came, by point. What etcd refused for a stale auth revision comes twice, as one. */
  calls: Map<string, string>;
  /** Those that etcd has carried out and answered. */
  done: Set<string>;
  held: boolean;
  answered?: Reply | undefined;
}

describe('A broker that is killed at any step', () => {
  /** The calls of each operation, in the order in which they came. */
  const points = new Map<Operation, string[]>();

  const crews: Crew[] = [
    { name: 'a call that changes no record', moments: MOMENTS },
    ...[1, 2, 3].flatMap((transaction) =>
      MOMENTS.map((moment) => ({ name: `transaction ${transaction}`, moments: [moment], transaction })),
    ),
  ];

  before(async () => {
    await withBroker(async ({ cluster, proxy, broker }) => {
      const cases = OPERATIONS.map((operation) => newCase(operation, 'none', 'before', 'nothing'));
      await Promise.all(cases.map((each) => prepare(broker, each)));
      await learnDeployments(cluster, cases);
      watch(proxy, cases);
      for (const each of cases) {
        const reply = await request(broker, each);
        assert.ok(reply.status === 200 || reply.status === 201, `${each.operation}: ${reply.text}`);
        points.set(each.operation, [...each.calls.keys()]);
      }
    });
    for (const [operation, calls] of points) {
      console.log(`      ${operation}: ${calls.join(', ')}`);
    }
    // They hardly use the machine while they wait for sessions to run out, so crews die side by side: first the
    // largest, then the others.
    const kill = (crew: Crew) => withBroker((place) => killCrew(place, crew, points));
    const [largest, ...others] = crews;
    const first = kill(largest as Crew);
    const room = first.catch(() => undefined); // its own test tells
    ends = [first, ...others.map((crew) => room.then(() => kill(crew)))];
    for (const end of ends) {
      end.catch(() => undefined);
    }
  });

  it('takes the calls that it is known to take', () => {
    assert.deepEqual(
      OPERATIONS.map((operation) => points.get(operation)?.length),
      [1, 1, 6, 6, 4, 8],
    );
  });

  let ends: Promise<string>[] = [];
  after(() => Promise.allSettled(ends));

  for (const [index, { name, moments }] of crews.entries()) {
    it(`right ${moments.join(' or ')} ${name} leaves nothing lost, leaked or half done`, async () => {
      console.log(`      ${await ends[index]}`);
    });
  }
});

/** Cases that die together, and where. */
interface Crew {
  name: string;
  moments: readonly Moment[];
  /** Which of the records' transactions; undefined for all other calls. */
  transaction?: number;
}

async function killCrew(
  place: Place,
  { moments, transaction }: Crew,
  points: ReadonlyMap<Operation, readonly string[]>,
): Promise<string> {
  const isMine = (point: string) =>
    transaction === undefined ? !point.startsWith(RECORDS) : point === `${RECORDS}${transaction}`;
  const cases = [...points].flatMap(([operation, calls]) =>
    calls
      .filter(isMine)
      .flatMap((point) =>
        moments.flatMap((moment) =>
          CONTINUATIONS.map((continuation) => newCase(operation, point, moment, continuation)),
        ),
      ),
  );
  await Promise.all(cases.map((each) => prepare(place.broker, each)));
  await learnDeployments(place.cluster, cases);
  const requests =
    transaction === undefined
      ? await holdCalls(place, cases)
      : await holdTransactions(place, cases, transaction, moments[0] as Moment, points);
  await place.broker.kill('SIGKILL');
  await Promise.all(requests);
  place.proxy.before = () => 'pass';
  place.proxy.after = () => 'pass';
  await place.broker.start();

  const startedAt = performance.now();
  const deadline = startedAt + RECOVERED_WITHIN_MS;
  await Promise.all(cases.map((each) => goOn(place.broker, each, deadline)));
  await assertOracle(place.cluster, deadline - performance.now());
  const took = Math.round(performance.now() - startedAt);
  const inventory = await takeInventory(place.cluster);
  for (const each of cases) {
    const begun = isBegun(each, points.get(each.operation));
    await judge(place.cluster, place.broker, inventory, each, begun);
  }
  return `${cases.length} cases, whole after ${took} ms`;
}

interface Place {
  cluster: TestCluster;
  proxy: EtcdProxy;
  broker: BrokerProcess;
}

async function withBroker<T>(use: (place: Place) => Promise<T>): Promise<T> {
  const cluster = await TestCluster.start();
  const proxy = await EtcdProxy.start(
    cluster.embedded.endpoints[0] as string,
    cluster.embedded.caCertificate,
  );
  const broker = new BrokerProcess({ env: cluster.env([proxy.endpoint]) });
  try {
    await broker.start();
    return await use({ cluster, proxy, broker });
  } finally {
    await broker.dispose();
    await proxy.stop();
    await cluster.stop();
  }
}

function newCase(operation: Operation, point: string, moment: Moment, continuation: Continuation): Case {
  return {
    name: `${operation}, killed ${moment} ${point}, then ${continuation}`,
    ...{ operation, point, moment, continuation, binding: 'the-binding' },
    instance: `instance-${randomBytes(8).toString('hex')}`,
    calls: new Map(),
    done: new Set(),
    held: false,
  };
}

/**
 * Keeps count of each case's calls. A hook gets the cases that a call belongs to (several, when it is a transaction
 * that carries several) and the point at which each stands with it.
 */
function watch(
  proxy: EtcdProxy,
  cases: readonly Case[],
  before: (at: ReadonlyMap<Case, string>, call: EtcdCall) => Verdict | Promise<Verdict> = () => 'pass',
  after: (at: ReadonlyMap<Case, string>, call: EtcdCall) => Verdict = () => 'pass',
): void {
  const known = new WeakMap<EtcdCall, Map<Case, string>>();
  proxy.before = (call) => {
    const at = new Map<Case, string>();
    if (call.number > 0) {
      const kind = kindOf(call);
      for (const each of cases.filter((candidate) => belongs(call, candidate))) {
        at.set(each, pointOf(each, kind, call.message.toString('latin1')));
      }
    }
    known.set(call, at);
    return before(at, call);
  };
  proxy.after = (call) => {
    const at = known.get(call) ?? new Map<Case, string>();
    if (call.status !== '0') {
      return 'pass';
    }
    const verdict = after(at, call);
    if (verdict === 'pass') {
      for (const [each, point] of at) {
        each.done.add(point);
      }
    }
    return verdict;
  };
}

/** A transaction on tenants' keys only reads; it is one so that etcd does not refuse it (see `TenantKeys`). */
function kindOf({ path, message }: EtcdCall): string {
  const kind = path.replace('/etcdserverpb.', '');
  return kind === TRANSACTION && !message.includes(keys.root) ? 'KV/Txn that reads' : kind;
}

function belongs({ message }: EtcdCall, { instance, deployment }: Case): boolean {
  return message.includes(instance) || (deployment !== undefined && message.includes(deployment));
}

function pointOf(each: Case, kind: string, message: string): string {
  for (const [point, seen] of each.calls) {
    if (point.startsWith(`${kind} #`) && seen === message) {
      return point;
    }
  }
  const count = [...each.calls.keys()].filter((point) => point.startsWith(`${kind} #`)).length;
  const point = `${kind} #${count + 1}`;
  each.calls.set(point, message);
  return point;
}

/** Sends every case's request; answers are noted, the broker's death is none. */
function sendAll(broker: BrokerProcess, cases: readonly Case[]): Promise<void>[] {
  return cases.map(async (each) => {
    each.answered = await request(broker, each).catch(() => undefined);
  });
}

/** Holds each case at its call, whatever the others do. */
async function holdCalls({ proxy, broker }: Place, cases: readonly Case[]): Promise<Promise<void>[]> {
  const hold = (each: Case): Verdict => {
    each.held = true;
    return 'drop';
  };
  watch(
    proxy,
    cases,
    (at) => {
      const [[each, point] = []] = at;
      const isAlone = at.size === 1 && each !== undefined && point !== undefined;
      if (!isAlone || point.startsWith(RECORDS)) {
        return 'pass';
      }
      return each.held || (each.moment === 'before' && point === each.point) ? hold(each) : 'pass';
    },
    (at) => {
      const [[each, point] = []] = at;
      return each?.moment === 'after' && point === each.point ? hold(each) : 'pass';
    },
  );
  const requests = sendAll(broker, cases);
  await until(() => cases.every(({ held }) => held), CALLS_HELD_WITHIN_MS);
  for (const { name, held, answered } of cases) {
    assert.ok(held, `${name}: not held, answered ${answered?.text}`);
  }
  return requests;
}

/** Holds all cases right before or right after their transaction with this number. */
async function holdTransactions(
  { proxy, broker }: Place,
  cases: readonly Case[],
  count: number,
  moment: Moment,
  points: ReadonlyMap<Operation, readonly string[]>,
): Promise<Promise<void>[]> {
  const due = `${TRANSACTION} #${count}`;
  const decoy = `decoy-${randomBytes(8).toString('hex')}`;
  const decoyHeld = withResolvers();
  const decoyFree = withResolvers();
  const gate = withResolvers();
  watch(
    proxy,
    cases,
    async (at, call) => {
      if (call.message.includes(decoy)) {
        decoyHeld.resolve();
        await decoyFree.promise;
        return 'pass';
      }
      const isTransaction = [...at.values()].some((point) => point.startsWith(RECORDS));
      if (!isTransaction && [...at.keys()].some((each) => each.done.has(`${TRANSACTION} #${count - 1}`))) {
        await gate.promise;
      }
      return moment === 'before' && [...at.values()].includes(due) ? 'drop' : 'pass';
    },
    (at) => {
      if (moment === 'before' || ![...at.values()].includes(due)) {
        return 'pass';
      }
      for (const [each, point] of at) {
        each.held ||= point === due;
      }
      return 'drop';
    },
  );
  const sendDecoy = async () => {
    void broker.provision(decoy).catch(() => undefined);
    await decoyHeld.promise;
  };
  if (count === 1 && moment === 'after') {
    await sendDecoy();
  }
  const requests = sendAll(broker, cases);
  if (count > 1) {
    await until(() => cases.every(({ done }) => done.has(`${TRANSACTION} #${count - 1}`)));
    if (moment === 'after') {
      await sendDecoy();
    }
  }
  gate.resolve();
  // Each has made every call that comes before the transaction, and waits to send that.
  const earlier = (each: Case) => {
    const all = points.get(each.operation) ?? [];
    return all.slice(0, all.indexOf(due));
  };
  await until(() => cases.every((each) => earlier(each).every((point) => each.done.has(point))));
  await sleep(QUIET_MS);
  if (moment === 'after') {
    decoyFree.resolve();
    await until(() => cases.every(({ held }) => held));
  } else {
    for (const each of cases) {
      each.held = earlier(each).every((point) => each.done.has(point)) && !each.done.has(due);
    }
  }
  for (const { name, held, done, answered } of cases) {
    assert.ok(held, `${name}: not held (done: ${[...done].join(', ')}; answered: ${answered?.text})`);
  }
  return requests;
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

/** Brings a case's instance to where its request begins. */
async function prepare(broker: BrokerProcess, { operation, instance, binding }: Case): Promise<void> {
  if (operation === 'provision') {
    return;
  }
  assert.equal((await broker.provision(instance)).status, 201);
  if (operation === 'rotate') {
    assert.equal((await broker.bind(instance, 'the-predecessor')).status, 201);
  } else if (operation === 'unbind' || operation === 'deprovision') {
    assert.equal((await broker.bind(instance, binding)).status, 201);
  }
}

async function learnDeployments(cluster: TestCluster, cases: readonly Case[]): Promise<void> {
  const { instances } = await takeInventory(cluster);
  for (const each of cases) {
    const deployment = instances.get(each.instance)?.deployment_id;
    if (deployment !== undefined) {
      each.deployment = deployment;
      if (each.operation === 'deprovision') {
        for (let key = 0; key < KEYS; key += 1) {
          await cluster.root.kv.put({
            key: Buffer.from(`/d/${deployment}/_own/${key}`),
            value: Buffer.from('x'),
          });
        }
      }
    }
  }
}

/** The request that the broker is killed at; the same again is the platform's repetition. */
function request(broker: BrokerProcess, { operation, instance, binding }: Case): Promise<Reply> {
  switch (operation) {
    case 'provision':
      return broker.provision(instance);
    case 'update':
      return broker.send('PATCH', instancePath(instance), {
        body: { service_id: broker.service.id, context: { platform: 'cloudfoundry', instance_name: 'new' } },
      });
    case 'bind':
      return broker.bind(instance, binding);
    case 'rotate':
      return broker.send('PUT', bindingPath(instance, binding), {
        body: { predecessor_binding_id: 'the-predecessor' },
      });
    case 'unbind':
      return broker.unbind(instance, binding);
    case 'deprovision':
      return broker.deprovision(instance);
  }
}

function cleanUp(broker: BrokerProcess, each: Case): Promise<Reply> {
  return ['bind', 'rotate', 'unbind'].includes(each.operation)
    ? broker.unbind(each.instance, each.binding)
    : broker.deprovision(each.instance);
}

/** What the platform does after the crash, repeated as long as the answer says "later". */
async function goOn(broker: BrokerProcess, each: Case, deadline: number): Promise<void> {
  if (each.continuation === 'nothing') {
    return;
  }
  const send = each.continuation === 'a clean-up DELETE' ? cleanUp : request;
  for (;;) {
    const reply = await send(broker, each);
    each.answered = reply;
    const isLater = reply.status >= 500 || (reply.status === 422 && reply.body.error === 'ConcurrencyError');
    if (!isLater) {
      return;
    }
    assert.notEqual(reply.body.description, '', each.name);
    assert.ok(performance.now() < deadline, `${each.name}: ${reply.status} ${reply.text}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** What died before its first transaction never was; what died after it is carried on. */
function isBegun({ point, moment }: Case, calls: readonly string[] = []): boolean {
  const intent = calls.indexOf(`${TRANSACTION} #1`);
  return calls.indexOf(point) > intent || (calls[intent] === point && moment === 'after');
}

/** What must be there now, by what the platform was told. */
async function judge(
  cluster: TestCluster,
  broker: BrokerProcess,
  all: Inventory,
  each: Case,
  isBegun: boolean,
): Promise<void> {
  const { name, operation, continuation, instance, binding, answered } = each;
  const hasInstance = all.instances.has(instance);
  const record = all.bindings.get(`${instance} ${binding}`);
  const status = answered?.status;
  if (operation === 'rotate') {
    assert.ok(all.bindings.has(`${instance} the-predecessor`), `${name}: the predecessor is gone`);
  }
  if (operation === 'bind' || operation === 'rotate') {
    assert.ok(hasInstance, `${name}: the instance is gone`);
  }
  if (continuation === 'a clean-up DELETE') {
    assert.ok(status === 200 || status === 410, `${name}: ${status}`);
    assert.equal(
      ['bind', 'rotate', 'unbind'].includes(operation) ? record !== undefined : hasInstance,
      false,
      name,
    );
    return;
  }
  switch (operation) {
    case 'provision':
      assert.equal(hasInstance, continuation === 'the request again' || isBegun, name);
      assert.ok(continuation === 'nothing' || status === (isBegun ? 200 : 201), `${name}: ${status}`);
      break;
    case 'update': {
      const isDone = continuation === 'the request again' || isBegun;
      assert.equal(all.instances.get(instance)?.context.instance_name, isDone ? 'new' : undefined, name);
      assert.ok(continuation === 'nothing' || status === 200, `${name}: ${status}`);
      break;
    }
    case 'bind':
    case 'rotate': {
      assert.equal(record !== undefined, continuation === 'the request again' || isBegun, name);
      if (continuation === 'the request again') {
        assert.equal(status, isBegun ? 200 : 201, `${name}: ${answered?.text}`);
        const fetched = await broker.send('GET', bindingPath(instance, binding));
        assert.deepEqual(fetched.body.credentials, answered?.body.credentials, name);
        assert.equal(answered?.body.credentials.username, record?.username, name);
        assert.ok(await credentialsWork(cluster, answered?.body.credentials), `${name}: credentials fail`);
      }
      break;
    }
    case 'unbind':
      assert.equal(record === undefined, continuation === 'the request again' || isBegun, name);
      assert.ok(continuation === 'nothing' || status === 200 || status === 410, `${name}: ${status}`);
      break;
    case 'deprovision':
      assert.equal(!hasInstance, continuation === 'the request again' || isBegun, name);
      assert.ok(continuation === 'nothing' || status === 200 || status === 410, `${name}: ${status}`);
      break;
  }
}

/** Waits until something holds, not for long: the caller asserts it. */
async function until(holds: () => boolean, ms = HELD_WITHIN_MS): Promise<void> {
  const end = performance.now() + ms;
  while (!holds() && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
