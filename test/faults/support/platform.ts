import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { bindingPath, instancePath, type Reply } from '../../support/broker.js';
import type { BrokerProcess } from './broker-process.js';
import type { TestCluster } from './cluster.js';
import { assertOracle, credentialsWork, takeInventory } from './oracle.js';

/** One thing that the platform does. The numbers choose among what there is. */
export interface Command {
  kind:
    | 'provision'
    | 'update'
    | 'fetch instance'
    | 'deprovision'
    | 'bind'
    | 'rotate'
    | 'fetch binding'
    | 'unbind';
  instance: number;
  binding: number;
  /** Which of several bodies: the same id with another body is a conflict. */
  variant: number;
  replica: number;
  async: boolean;
}

const INSTANCES = 5;
const BINDINGS = 4;

/** Commands of a platform that repeats itself, contradicts itself and deletes what it is still creating. */
export const commands = (count: number): fc.Arbitrary<Command[]> =>
  fc.array(
    fc.record({
      kind: fc.oneof(
        { weight: 3, arbitrary: fc.constant('provision' as const) },
        { weight: 1, arbitrary: fc.constant('update' as const) },
        { weight: 1, arbitrary: fc.constant('fetch instance' as const) },
        { weight: 1, arbitrary: fc.constant('deprovision' as const) },
        { weight: 8, arbitrary: fc.constant('bind' as const) },
        { weight: 2, arbitrary: fc.constant('rotate' as const) },
        { weight: 2, arbitrary: fc.constant('fetch binding' as const) },
        { weight: 5, arbitrary: fc.constant('unbind' as const) },
      ),
      instance: fc.nat(INSTANCES - 1),
      binding: fc.nat(BINDINGS - 1),
      variant: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.constant(1) }),
      replica: fc.nat(2),
      async: fc.boolean(),
    }),
    { minLength: count, maxLength: count, size: 'max' },
  );

/** `absent`, or which variant is there. */
type State = string;
const ABSENT = 'absent';

interface Credentials {
  username: string;
  password: string;
  key_prefix: string;
}

/** An instance or a binding, and all that may be true of it by what the platform was told. */
class Resource {
  possible = new Set<State>([ABSENT]);
  /** Requests that are under way. */
  readonly pending = new Set<Act>();
  /** Requests that were not answered conclusively: they may take effect later. */
  readonly ghosts = new Set<Act>();
  readonly bindings = new Map<string, Resource>();
  /** The credentials that a bind answered since the last conclusive deletion. */
  credentials: Credentials | undefined;

  constructor(
    readonly instanceId: string,
    readonly bindingId?: string,
  ) {}

  get name(): string {
    return this.bindingId === undefined ? this.instanceId : `${this.instanceId}/${this.bindingId}`;
  }

  /** Adds the states that requests under way may lead to, and tells these requests what they may meet. */
  spread(): void {
    let size: number;
    do {
      size = this.possible.size;
      for (const act of [...this.pending, ...this.ghosts]) {
        for (const state of [...this.possible]) {
          this.possible.add(act.effect(state));
        }
      }
    } while (this.possible.size > size);
    for (const act of this.pending) {
      for (const state of this.possible) {
        act.meets(this, state);
      }
    }
  }
}

type Effect = 'create' | 'delete' | 'none';

/** A request and what it may have met on its way. */
class Act {
  readonly startedAt = performance.now();
  readonly #met = new Map<Resource, Set<State>>();
  /** Effects of other requests on the same resources that ran at the same time. */
  readonly rivals = new Set<Effect>();
  /** What was undecided when it began, by resource. */
  readonly ghostsBefore = new Map<Resource, Act[]>();

  constructor(
    readonly effectKind: Effect,
    /** The state that it creates. */
    readonly creates: State,
    readonly touched: readonly Resource[],
    /** Resources that it depends on without changing them. */
    readonly observed: readonly Resource[] = [],
  ) {}

  effect(state: State): State {
    if (this.effectKind === 'delete') {
      return ABSENT;
    }
    return this.effectKind === 'create' && state === ABSENT ? this.creates : state;
  }

  meets(resource: Resource, state: State): void {
    const met = this.#met.get(resource) ?? new Set();
    this.#met.set(resource, met.add(state));
  }

  met(resource: Resource): ReadonlySet<State> {
    return this.#met.get(resource) ?? new Set();
  }

  begin(): void {
    for (const resource of [...this.touched, ...this.observed]) {
      for (const other of resource.pending) {
        this.rivals.add(other.effectOn(resource));
        other.rivals.add(this.effectOn(resource));
      }
      for (const ghost of resource.ghosts) {
        this.rivals.add(ghost.effectOn(resource));
      }
      this.ghostsBefore.set(resource, [...resource.ghosts]);
      resource.pending.add(this);
      resource.spread();
    }
    this.rivals.delete('none');
  }

  effectOn(resource: Resource): Effect {
    return this.touched.includes(resource) ? this.effectKind : 'none';
  }

  /** @param outcome the state it certainly led to, `nothing` if it changed nothing, `unknown` if nobody can tell */
  end(outcome: State | 'nothing' | 'unknown'): void {
    for (const resource of [...this.touched, ...this.observed]) {
      resource.pending.delete(this);
      if (this.effectOn(resource) === 'none' || outcome === 'nothing') {
        continue;
      }
      if (outcome === 'unknown') {
        resource.ghosts.add(this);
        resource.spread();
        continue;
      }
      const disputed = [...this.#overlaps(resource)].some((effect) => effect !== 'none');
      for (const ghost of this.ghostsBefore.get(resource) ?? []) {
        // A deletion settles all that came before it. A creation does not settle a deletion that may come late.
        if (outcome === ABSENT || ghost.effectKind !== 'delete') {
          resource.ghosts.delete(ghost);
        }
      }
      if (!disputed) {
        resource.possible = new Set([outcome]);
        resource.spread();
      }
    }
  }

  readonly #overlapped = new Map<Resource, Set<Effect>>();

  #overlaps(resource: Resource): ReadonlySet<Effect> {
    return this.#overlapped.get(resource) ?? new Set();
  }

  /** Notes which requests run beside this one, by resource. */
  note(resource: Resource, effect: Effect): void {
    const noted = this.#overlapped.get(resource) ?? new Set();
    this.#overlapped.set(resource, noted.add(effect));
  }
}

export interface PlatformOptions {
  cluster: TestCluster;
  /** The replicas as they are now. */
  replicas: () => readonly BrokerProcess[];
  /**
   * Whether something was broken at some time since then (on the monotonic clock), so that requests may have failed
   * with a 5xx or not been answered at all.
   */
  isFaulty?: (since: number) => boolean;
  /** Prefix of the instances' ids. */
  name: string;
  longestAnswerMs?: number;
}

/**
 * A platform that misbehaves, and the model of what it may expect: for each instance and binding the states that are
 * possible by the answers so far. Each answer must be one that the specification allows in one of them.
 */
export class Platform {
  readonly #instances: Resource[];
  /** Credentials that must not work any more. */
  readonly #ended: Credentials[] = [];
  /** How many answers came, by status. */
  readonly statuses = new Map<number | 'none', number>();
  slowestMs = 0;
  requests = 0;
  checks = 0;
  readonly #faults: Error[] = [];

  constructor(readonly options: PlatformOptions) {
    this.#instances = Array.from(
      { length: INSTANCES },
      (_, index) => new Resource(`${options.name}-${index}`),
    );
    for (const instance of this.#instances) {
      for (let index = 0; index < BINDINGS; index += 1) {
        const id = `binding-${index}`;
        instance.bindings.set(id, new Resource(instance.instanceId, id));
      }
    }
  }

  /** Carries commands out, so many at a time, while `goesOn` says so. */
  async run(all: readonly Command[], inFlight = 20, goesOn: () => boolean = () => true): Promise<void> {
    const queue = [...all];
    const worker = async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        if (this.#faults.length > 0 || !goesOn()) {
          return;
        }
        try {
          await this.#carryOut(next);
        } catch (error) {
          this.#faults.push(error as Error);
        }
      }
    };
    await Promise.all(Array.from({ length: inFlight }, worker));
    if (this.#faults[0] !== undefined) {
      throw this.#faults[0];
    }
  }

  /** When nothing runs any more: the oracle holds, and what exists is what the platform was told. */
  async settle(withinMs = 15_000): Promise<void> {
    const { cluster, name } = this.options;
    await assertOracle(cluster, withinMs);
    const { instances, bindings } = await takeInventory(cluster);
    for (const id of instances.keys()) {
      assert.ok(
        !id.startsWith(`${name}-`) || this.#instances.some(({ instanceId }) => instanceId === id),
        id,
      );
    }
    for (const instance of this.#instances) {
      assertPossible(instance, instances.has(instance.instanceId));
      for (const binding of instance.bindings.values()) {
        const record = bindings.get(`${binding.instanceId} ${binding.bindingId}`);
        assertPossible(binding, record !== undefined);
        const { credentials } = binding;
        if (record !== undefined && credentials !== undefined && binding.ghosts.size === 0) {
          assert.equal(
            record.username,
            credentials.username,
            `${binding.name} has other credentials than answered`,
          );
          assert.ok(
            await credentialsWork(cluster, credentials),
            `${binding.name}: its credentials do not work`,
          );
          this.checks += 1;
        }
      }
    }
    await Promise.all(this.#ended.map((credentials) => this.#assertEnded(credentials)));
  }

  async #carryOut(command: Command): Promise<void> {
    const instance = this.#instances[command.instance] as Resource;
    const binding = [...instance.bindings.values()][command.binding] as Resource;
    switch (command.kind) {
      case 'provision':
        return this.#provision(command, instance);
      case 'update':
        return this.#update(command, instance);
      case 'fetch instance':
        return this.#fetch(command, instance, undefined);
      case 'deprovision':
        return this.#deprovision(command, instance);
      case 'bind':
        return this.#bind(command, instance, binding, undefined);
      case 'rotate': {
        const all = [...instance.bindings.values()];
        return this.#bind(command, instance, binding, all[(command.binding + 1) % all.length]);
      }
      case 'fetch binding':
        return this.#fetch(command, instance, binding);
      case 'unbind':
        return this.#unbind(command, binding);
    }
  }

  async #provision(command: Command, instance: Resource): Promise<void> {
    const variant = `variant ${command.variant}`;
    const act = start(new Act('create', variant, [instance]));
    const body = { organization_guid: variant };
    const reply = await this.#send(command, act, (to) =>
      to.provision(instance.instanceId, body, asynchronous(command)),
    );
    const met = act.met(instance);
    const isUndecided = this.#judge(command, instance, act, reply, {
      201: met.has(ABSENT),
      200: met.has(variant),
      409: [...met].some((state) => state !== ABSENT && state !== variant),
      422: act.rivals.has('delete'),
    });
    act.end(isUndecided ? 'unknown' : (reply?.status ?? 0) < 300 ? variant : 'nothing');
  }

  async #update(command: Command, instance: Resource): Promise<void> {
    const act = start(new Act('none', ABSENT, [], [instance]));
    const reply = await this.#send(command, act, (to) =>
      to.send('PATCH', `${instancePath(instance.instanceId)}${asynchronous(command)}`, {
        body: {
          service_id: to.service.id,
          context: { platform: 'cloudfoundry', instance_name: `n${Math.random()}` },
        },
      }),
    );
    const met = act.met(instance);
    this.#judge(command, instance, act, reply, {
      200: isPresent(met),
      404: met.has(ABSENT),
      422: act.rivals.has('delete'),
    });
    act.end('nothing');
  }

  async #fetch(command: Command, instance: Resource, binding: Resource | undefined): Promise<void> {
    const resource = binding ?? instance;
    const act = start(new Act('none', ABSENT, [], [resource]));
    const credentials = binding?.credentials;
    const path =
      binding === undefined
        ? instancePath(instance.instanceId)
        : bindingPath(instance.instanceId, binding.bindingId as string);
    const reply = await this.#send(command, act, (to) => to.send('GET', path));
    const met = act.met(resource);
    const isBusy = act.rivals.size > 0;
    this.#judge(command, resource, act, reply, {
      200: isPresent(met),
      404: met.has(ABSENT) || isBusy,
      422: act.rivals.has('delete'),
    });
    if (reply?.status === 200 && credentials !== undefined && !isBusy) {
      assert.ok(isDeepStrictEqual(pick(reply), credentials), `${resource.name}: GET tells other credentials`);
    }
    act.end('nothing');
  }

  async #deprovision(command: Command, instance: Resource): Promise<void> {
    const bindings = [...instance.bindings.values()];
    const act = start(new Act('delete', ABSENT, [instance, ...bindings]));
    const before = bindings.map(({ credentials }) => credentials);
    const reply = await this.#send(command, act, (to) =>
      to.deprovision(instance.instanceId, asynchronous(command, '&')),
    );
    const met = act.met(instance);
    const isUndecided = this.#judge(command, instance, act, reply, {
      200: isPresent(met),
      410: met.has(ABSENT),
      422: act.rivals.size > 0,
    });
    const isGone = !isUndecided && (reply?.status === 200 || reply?.status === 410);
    if (isGone) {
      for (const [index, binding] of bindings.entries()) {
        this.#end(binding, before[index]);
      }
    }
    act.end(isUndecided ? 'unknown' : isGone ? ABSENT : 'nothing');
    if (isGone) {
      await Promise.all(before.map((credentials) => credentials && this.#assertEnded(credentials, act)));
    }
  }

  async #bind(
    command: Command,
    instance: Resource,
    binding: Resource,
    predecessor: Resource | undefined,
  ): Promise<void> {
    const variant = predecessor ? `successor of ${predecessor.bindingId}` : `variant ${command.variant}`;
    const observed = predecessor ? [instance, predecessor] : [instance];
    const act = start(new Act('create', variant, [binding], observed));
    const id = binding.bindingId as string;
    const query = asynchronous(command);
    const reply = await this.#send(command, act, (to) =>
      predecessor
        ? to.bind(instance.instanceId, id, { predecessor_binding_id: predecessor.bindingId }, query)
        : to.bind(instance.instanceId, id, { parameters: PARAMETERS[command.variant] }, query),
    );
    const met = act.met(binding);
    const noInstance = act.met(instance).has(ABSENT);
    const isContested = act.rivals.has('delete');
    // A fault may hold back the creation that a repeated request waits for until the time for its answer is up.
    const isHeldBack = act.rivals.has('create') && this.#isExcused(act);
    const isUndecided = this.#judge(command, binding, act, reply, {
      201: met.has(ABSENT) && isPresent(act.met(instance)),
      200: met.has(variant) || act.rivals.has('create'),
      400: predecessor !== undefined && (act.met(predecessor).has(ABSENT) || noInstance),
      404: noInstance,
      409: [...met].some((state) => state !== ABSENT && state !== variant),
      422: isContested || isHeldBack,
      500: isContested,
    });
    const isMade = !isUndecided && (reply?.status === 200 || reply?.status === 201);
    const isStill = isMade && !isContested && binding.ghosts.size === 0;
    if (isMade && reply.body.credentials !== undefined) {
      const credentials = pick(reply);
      if (binding.credentials !== undefined && isStill) {
        assert.deepEqual(
          credentials,
          binding.credentials,
          `${binding.name}: a repeated bind told other credentials`,
        );
      }
      if (isStill) {
        binding.credentials = credentials;
        await this.#assertWorking(binding, act, credentials);
      }
    }
    act.end(isUndecided ? 'unknown' : isMade ? variant : 'nothing');
  }

  async #unbind(command: Command, binding: Resource): Promise<void> {
    const act = start(new Act('delete', ABSENT, [binding]));
    const before = binding.credentials;
    const reply = await this.#send(command, act, (to) =>
      to.unbind(binding.instanceId, binding.bindingId as string, asynchronous(command, '&')),
    );
    const met = act.met(binding);
    const isUndecided = this.#judge(command, binding, act, reply, {
      200: isPresent(met),
      410: met.has(ABSENT),
      422: act.rivals.size > 0,
    });
    const isGone = !isUndecided && (reply?.status === 200 || reply?.status === 410);
    if (isGone) {
      this.#end(binding, before);
    }
    act.end(isUndecided ? 'unknown' : isGone ? ABSENT : 'nothing');
    if (isGone && before !== undefined) {
      await this.#assertEnded(before, act);
    }
  }

  #end(binding: Resource, credentials: Credentials | undefined): void {
    if (credentials !== undefined) {
      this.#ended.push(credentials);
      if (binding.credentials?.username === credentials.username) {
        binding.credentials = undefined;
      }
    }
  }

  /** Checks an answer. @returns whether it leaves open what became of the request */
  #judge(
    command: Command,
    resource: Resource,
    act: Act,
    reply: Reply | undefined,
    allowed: { readonly [status: number]: boolean },
  ): boolean {
    if (reply === undefined) {
      return true;
    }
    const { status, text } = reply;
    const seen = () =>
      `${command.kind} ${resource.name}: ${status} ${text.slice(0, 300)} (possible: ${[...act.met(resource)].join(', ')}; at the same time: ${[...act.rivals].join(', ') || 'nothing'})`;
    assert.equal(typeof reply.body, 'object', seen());
    if (status >= 400) {
      assert.ok(reply.body.description?.length > 0, seen());
    }
    if (status === 422) {
      assert.equal(reply.body.error, 'ConcurrencyError', seen());
    }
    if (allowed[status] === true) {
      return false;
    }
    assert.ok(
      status >= 500 && this.#isExcused(act),
      `An answer that the specification does not allow: ${seen()}`,
    );
    return true;
  }

  #isExcused(act: Act): boolean {
    return this.options.isFaulty?.(act.startedAt) ?? false;
  }

  /** Sends a request, follows a 202 to its end. @returns undefined when there was no answer, which only a fault excuses */
  async #send(
    command: Command,
    act: Act,
    request: (to: BrokerProcess) => Promise<Reply>,
  ): Promise<Reply | undefined> {
    const replicas = this.options.replicas();
    const to = replicas[command.replica % replicas.length] as BrokerProcess;
    const startedAt = performance.now();
    this.requests += 1;
    let reply: Reply;
    try {
      reply = await request(to);
    } catch (error) {
      this.statuses.set('none', (this.statuses.get('none') ?? 0) + 1);
      assert.ok(this.#isExcused(act), `No answer to ${command.kind}: ${(error as Error).message}`);
      return undefined;
    }
    const took = performance.now() - startedAt;
    this.slowestMs = Math.max(this.slowestMs, took);
    this.statuses.set(reply.status, (this.statuses.get(reply.status) ?? 0) + 1);
    const longest = this.options.longestAnswerMs ?? 10_000;
    assert.ok(took < longest, `${command.kind} was answered after ${Math.round(took)} ms`);
    // An operation that goes on is nobody's to judge yet: what it leads to stays open.
    return reply.status === 202 ? undefined : reply;
  }

  async #assertWorking(binding: Resource, act: Act, credentials: Credentials): Promise<void> {
    let works: boolean;
    try {
      works = await credentialsWork(this.options.cluster, credentials);
    } catch (error) {
      assert.ok(
        this.#isExcused(act),
        `${binding.name}: etcd does not answer a tenant: ${(error as Error).message}`,
      );
      return;
    }
    this.checks += 1;
    // A deletion may have begun meanwhile.
    assert.ok(
      works || act.rivals.has('delete'),
      `${binding.name}: credentials that were answered do not work`,
    );
  }

  async #assertEnded(credentials: Credentials, act?: Act): Promise<void> {
    let works: boolean;
    try {
      works = await credentialsWork(this.options.cluster, credentials);
    } catch (error) {
      assert.ok(
        act !== undefined && this.#isExcused(act),
        `etcd does not answer: ${(error as Error).message}`,
      );
      return;
    }
    this.checks += 1;
    assert.ok(!works, `The credentials of ${credentials.username} work after their unbind was answered`);
  }
}

const PARAMETERS = [{}, { access: 'readonly' }];

function start(act: Act): Act {
  for (const resource of [...act.touched, ...act.observed]) {
    for (const other of resource.pending) {
      act.note(resource, other.effectOn(resource));
      other.note(resource, act.effectOn(resource));
    }
  }
  act.begin();
  return act;
}

function asynchronous(command: Command, separator: '?' | '&' = '?'): string {
  return command.async ? `${separator}accepts_incomplete=true` : '';
}

function isPresent(states: ReadonlySet<State>): boolean {
  return [...states].some((state) => state !== ABSENT);
}

function pick(reply: Reply): Credentials {
  const { username, password, key_prefix } = reply.body.credentials;
  return { username, password, key_prefix };
}

function assertPossible({ name, possible }: Resource, exists: boolean): void {
  assert.ok(
    exists ? isPresent(possible) : possible.has(ABSENT),
    `${name} ${exists ? 'exists' : 'does not exist'}, but the platform was told: ${[...possible].join(', ')}`,
  );
}
