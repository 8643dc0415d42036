import { randomBytes } from 'node:crypto';
import { type AccessNames, FIRST_CLUSTER, type InstanceRecord } from '../../src/broker/model.js';
import { Recovery } from '../../src/broker/operations/recovery.js';
import { Removal } from '../../src/broker/operations/removal.js';
import { Tasks } from '../../src/broker/operations/tasks.js';
import { Worker } from '../../src/broker/operations/worker.js';
import type { BrokerParts } from '../../src/broker/parts.js';
import type { AccessControl, BeforeStep } from '../../src/broker/ports.js';
import { InstanceCache } from '../../src/broker/requests/instance-cache.js';
import { withDomainErrors } from '../../src/cluster/domain-errors.js';
import { Pool } from '../../src/cluster/pool.js';
import { Secret } from '../../src/credentials/secret.js';
import { keys } from '../../src/records/keys.js';
import { InMemoryRecords, MemoryStore } from './in-memory-records.js';

/** What replicas share: the records and the cluster's roles and users. */
export class World {
  readonly store = new MemoryStore();
  readonly roles = new Set<string>();
  readonly users = new Map<string, string>();
  /** Deployments whose keys were deleted. */
  readonly emptied: string[] = [];

  constructor() {
    this.putInstance('i');
  }

  putInstance(instance_id: string): InstanceRecord {
    const instance: InstanceRecord = {
      schema: 1,
      instance_id,
      state: 'ready',
      service_id: 'service',
      plan_id: 'plan',
      deployment_id: randomBytes(12).toString('hex'),
      organization_guid: 'o',
      space_guid: 's',
      context: {},
      parameters: {},
      created_at: '',
      updated_at: '',
    };
    this.store.put(keys.instance(instance_id), instance);
    return instance;
  }

  /** The roles and users that exist, and whether records under way or bindings are left. */
  get left(): { access: string[]; bindings: string[]; open: string[]; applications: string[] } {
    const { store } = this;
    return {
      access: [...this.roles, ...this.users.keys()],
      bindings: store.under(keys.bindings),
      open: store.under(keys.open),
      applications: store.under(keys.applications),
    };
  }
}

export const NOTHING_LEFT = { access: [], bindings: [], open: [], applications: [] };

/** One replica of the broker without HTTP and etcd. */
export class Replica {
  readonly id = randomBytes(4).toString('hex');
  readonly records: InMemoryRecords;
  readonly parts: BrokerParts;
  readonly recovery: Recovery;
  readonly logged: string[] = [];
  /** Called before each call takes effect, with its name; may wait. */
  step: (call: string) => Promise<void> | void = () => undefined;
  #isDead = false;

  constructor(readonly world: World) {
    const { store } = world;
    store.put(keys.owner(this.id), { schema: 1 });
    const session = {
      id: this.id,
      assertOwns: (owner: string) => {
        if (owner !== this.id || !store.entries.has(keys.owner(this.id))) {
          throw new Error('The session is lost');
        }
      },
    };
    this.records = new InMemoryRecords(store, session);
    this.records.before = (call) => this.#before(call);
    const note = (details: object, message: string) => {
      this.logged.push(`${message} ${JSON.stringify(details)}`);
    };
    const log = { info: note, warn: note, error: note };
    const access = this.#access();
    const tenantKeys = {
      count: async () => 0,
      deleteAll: async (deploymentId: string, before: BeforeStep) => {
        await this.#before('delete keys');
        before();
        world.emptied.push(deploymentId);
      },
    };
    const seals = {
      seal: (secret: Secret) => secret.reveal(),
      open: (text: string) => new Secret(text),
    };
    const records = withDomainErrors(this.records);
    const clusters = new Pool({ id: FIRST_CLUSTER, access, tenantKeys, alarm: undefined });
    const shared = { records, clusters, seals, session, log };
    const tasks = new Tasks();
    const removal = new Removal(shared, tasks);
    const worker = new Worker(shared, tasks, removal);
    this.recovery = new Recovery({ ...shared, tasks, removal, worker });
    const clock = { now: async () => 0, tick: async () => undefined, save: async () => undefined };
    const cache = new InstanceCache();
    this.parts = { ...shared, tasks, removal, worker, cache, clock };
  }

  /** Ends as with SIGKILL: no call takes effect any more, and the session runs out. */
  die(): void {
    this.#isDead = true;
    this.world.store.entries.delete(keys.owner(this.id));
  }

  /** Waits until no task runs. */
  async settle(): Promise<void> {
    while (this.parts.tasks.running > 0 && !this.#isDead) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async #before(call: string): Promise<void> {
    await this.step(call);
    if (this.#isDead) {
      await new Promise(() => undefined);
    }
  }

  #access(): AccessControl {
    const { roles, users } = this.world;
    const call = async (name: string, before: BeforeStep, effect: () => void) => {
      before();
      await this.#before(name);
      effect();
    };
    return {
      names: async () => ({ roles, users: new Set(users.keys()) }),
      grant: async ({ role, username }: AccessNames, password, before) => {
        await call('add role', before, () => roles.add(role));
        await call('add user', before, () => users.set(username, password.reveal()));
        await call('grant role', before, () => {
          if (!roles.has(role) || !users.has(username)) {
            throw new Error('role or user name not found');
          }
        });
      },
      revoke: async ({ role, username }, before) => {
        await call('delete user', before, () => users.delete(username));
        await call('delete role', before, () => roles.delete(role));
      },
    };
  }
}
