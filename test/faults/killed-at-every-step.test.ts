import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { Reply } from '../support/broker.js';
import { bindingPath, instancePath } from '../support/broker.js';
import { BrokerProcess } from './support/broker-process.js';
import { TestCluster } from './support/cluster.js';
import { type EtcdCall, EtcdProxy, type Verdict } from './support/etcd-proxy.js';
import { assertOracle, credentialsWork, type Inventory, takeInventory } from './support/oracle.js';

/*
 * Each case is one instance with its own request, which is stopped at its own step: the proxy holds that call (before
 * etcd gets it, or after etcd has carried it out), whatever other calls do. When every case of a round is held, the
 * broker is killed, so that each of them died right there. Cases know their calls by the ids in the messages.
 */

const OPERATIONS = ['provision', 'update', 'bind', 'rotate', 'unbind', 'deprovision'] as const;
type Operation = (typeof OPERATIONS)[number];
const CONTINUATIONS = ['the request again', 'a clean-up DELETE', 'nothing'] as const;
type Continuation = (typeof CONTINUATIONS)[number];
/** Right before etcd gets the call, or right after it has carried it out. */
const MOMENTS = ['before', 'after'] as const;
/** The steps that one kill serves; no operation has seven. */
const ROUNDS = [[1, 2, 3], [4, 5, 6], [7]];
/** How long a held call may take to show up; an attempt's own time-out is 4 s. */
const HELD_WITHIN_MS = 3_500;
const RECOVERED_WITHIN_MS = 10_000;
const KEYS = 5;

interface Case {
  name: string;
  operation: Operation;
  step: number;
  moment: (typeof MOMENTS)[number];
  continuation: Continuation;
  instance: string;
  binding: string;
  /** What the calls of this case carry, besides the instance's id. */
  deployment?: string;
  /** The different calls that came. One that etcd refused for a stale auth revision comes twice, as one. */
  seen: Set<string>;
  held: boolean;
  answered?: Reply | undefined;
}

describe('A broker that is killed at any step', () => {
  let cluster: TestCluster;
  let proxy: EtcdProxy;
  let broker: BrokerProcess;

  before(async () => {
    cluster = await TestCluster.start();
    proxy = await EtcdProxy.start(cluster.embedded.endpoints[0] as string, cluster.embedded.caCertificate);
    broker = await startBroker();
  });
  after(async () => {
    await broker?.dispose();
    await proxy?.stop();
    await cluster?.stop();
  });

  const startBroker = () => new BrokerProcess({ env: cluster.env([proxy.endpoint]) }).start();

  /** Each operation's number of steps, as it comes out. */
  const steps = new Map<Operation, number>();

  for (const round of ROUNDS) {
    it(`in step ${round.join(', ')} leaves nothing lost, leaked or half done`, async () => {
      const cases = OPERATIONS.flatMap((operation) =>
        round.flatMap((step) =>
          MOMENTS.flatMap((moment) =>
            CONTINUATIONS.map((continuation) => newCase(operation, step, moment, continuation)),
          ),
        ),
      );
      await Promise.all(cases.map((each) => prepare(broker, each)));
      await learnDeployments(cluster, cases);

      holdCalls(proxy, cases);
      const requests = cases.map(async (each) => {
        each.answered = await request(broker, each).catch(() => undefined);
      });
      await until(() => cases.every((each) => each.held || each.answered !== undefined), HELD_WITHIN_MS);
      for (const each of cases) {
        assert.ok(each.held || each.answered !== undefined, `${each.name}: neither held nor answered`);
        if (!each.held) {
          // It has no such step: it was done before.
          steps.set(each.operation, Math.min(steps.get(each.operation) ?? Infinity, each.step - 1));
          assert.ok([200, 201].includes(each.answered?.status ?? 0), `${each.name}: ${each.answered?.text}`);
        }
      }
      await broker.kill('SIGKILL');
      await Promise.all(requests);
      proxy.before = () => 'pass';
      proxy.after = () => 'pass';
      broker = await startBroker();

      const startedAt = performance.now();
      const killed = cases.filter(({ held }) => held);
      const deadline = startedAt + RECOVERED_WITHIN_MS;
      await Promise.all(killed.map((each) => goOn(broker, each, deadline)));
      await assertOracle(cluster, deadline - performance.now());
      const inventory = await takeInventory(cluster);
      for (const each of killed) {
        await judge(cluster, broker, inventory, each);
      }
    });
  }

  it('was killed in every step of every operation', () => {
    assert.deepEqual(Object.fromEntries(steps), {
      provision: 1,
      update: 1,
      bind: 6,
      rotate: 6,
      unbind: 4,
      deprovision: 6,
    });
  });
});

function newCase(
  operation: Operation,
  step: number,
  moment: Case['moment'],
  continuation: Continuation,
): Case {
  const id = randomBytes(8).toString('hex');
  const name = `${operation}, killed ${moment} call ${step}, then ${continuation}`;
  const instance = `instance-${id}`;
  return {
    ...{ name, operation, step, moment, continuation, instance, binding: 'the-binding' },
    seen: new Set(),
    held: false,
  };
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

/** Holds each case's call at its step, and whatever else the case calls after that. */
function holdCalls(proxy: EtcdProxy, cases: readonly Case[]): void {
  const owners = new WeakMap<EtcdCall, Case>();
  const owner = (call: EtcdCall): Case | undefined => {
    const known = owners.get(call);
    if (known !== undefined || call.number === 0) {
      return known;
    }
    const found = cases.find(
      ({ instance, deployment }) =>
        call.message.includes(instance) || (deployment !== undefined && call.message.includes(deployment)),
    );
    if (found !== undefined) {
      owners.set(call, found);
      found.seen.add(`${call.path} ${call.message.toString('latin1')}`);
    }
    return found;
  };
  const hold = (each: Case): Verdict => {
    each.held = true;
    return 'drop';
  };
  proxy.before = (call) => {
    const each = owner(call);
    if (each === undefined) {
      return 'pass';
    }
    const isDue = each.moment === 'before' && each.seen.size === each.step;
    return each.held || isDue ? hold(each) : 'pass';
  };
  proxy.after = (call) => {
    const each = owners.get(call);
    return each?.moment === 'after' && each.seen.size === each.step && call.status === '0'
      ? hold(each)
      : 'pass';
  };
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

/** What must be there now, by what the platform was told. */
async function judge(cluster: TestCluster, broker: BrokerProcess, all: Inventory, each: Case): Promise<void> {
  const { name, operation, continuation, instance, binding, step, moment, answered } = each;
  const hasInstance = all.instances.has(instance);
  const record = all.bindings.get(`${instance} ${binding}`);
  const status = answered?.status;
  // What died before its first transaction never was; what died after it is carried on.
  const isBegun = step > 1 || moment === 'after';
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

async function until(holds: () => boolean, milliseconds: number): Promise<void> {
  const end = performance.now() + milliseconds;
  while (!holds() && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
