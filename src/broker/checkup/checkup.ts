import type { Secret } from '../../credentials/secret.js';
import { sleep } from '../../timing.js';
import { etcdPassword } from '../etcd-password.js';
import {
  type BindingRecord,
  clusterOf,
  type InstanceRecord,
  type OperationRecord,
  type Stored,
} from '../model.js';
import type { IndexFault, OnMalformed, Seals } from '../ports.js';
import { compare, type Difference, type FoundPermission, type Recorded } from './oracle.js';

/** What the checkup reads of the records. */
export interface ReadableRecords {
  instances(onMalformed?: OnMalformed): AsyncIterable<Stored<InstanceRecord>>;
  bindings(instanceId?: string, onMalformed?: OnMalformed): AsyncIterable<Stored<BindingRecord>>;
  indexFaults(
    instances: readonly InstanceRecord[],
    bindings: readonly BindingRecord[],
  ): Promise<IndexFault[]>;
  openOperations(
    limit: number,
    onMalformed?: OnMalformed,
  ): Promise<{ operations: OperationRecord[]; owners: ReadonlySet<string> }>;
}

/** What the checkup reads of the cluster. */
export interface ClusterInventory {
  roles(): Promise<Map<string, FoundPermission[]>>;
  users(): Promise<Map<string, string[]>>;
  refused(credentials: Iterable<{ username: string; password: Secret }>): Promise<Map<string, string>>;
  strayKeySpaces(knownDeployments: Iterable<string>): Promise<string[]>;
}

export interface CheckupParts {
  records: ReadableRecords;
  cluster: { readonly id: string; readonly inventory: ClusterInventory };
  seals: Seals;
}

export interface Checkup {
  differences: Difference[];
  instances: number;
  bindings: number;
  /** Operations under way, which are neither right nor wrong yet. */
  underWay: number;
  /** With how many credentials it was tried to sign in. */
  signIns: number;
}

const MOST_OPERATIONS = 100_000;
/** A difference counts when it is still there after so many milliseconds: brokers go on working meanwhile. */
const SETTLE_MS = 500;

/**
 * Compares the cluster with the records. What looks wrong is looked at twice, since a binding that is made or removed
 * between two reads looks wrong for a moment.
 *
 * @param mostSignIns with how many credentials it tries to sign in at the most: each costs etcd a bcrypt
 * @param settleMs the time between the two looks, in milliseconds
 */
export async function checkUp(
  parts: CheckupParts,
  mostSignIns = Number.POSITIVE_INFINITY,
  settleMs = SETTLE_MS,
): Promise<Checkup> {
  const first = await look(parts, mostSignIns);
  if (first.differences.length === 0) {
    return first;
  }
  await sleep(settleMs);
  // The same sample need not come twice: what was refused before is tried again.
  const suspects = new Set(first.differences.map(({ what }) => what));
  const second = await look(parts, mostSignIns, suspects);
  const before = new Set(first.differences.map(identify));
  return { ...second, differences: second.differences.filter((each) => before.has(identify(each))) };
}

async function look(
  { records, cluster, seals }: CheckupParts,
  mostSignIns: number,
  suspects: ReadonlySet<string> = new Set(),
): Promise<Checkup> {
  const { inventory } = cluster;
  // Signing in takes etcd longest, so it begins first and goes on while the rest is read. Roles and users follow side
  // by side: etcd answers reads while it computes the hashes of passwords.
  const signingIn = signIn({ records, cluster, seals }, mostSignIns, suspects);
  // What exists is read before what is recorded: a record is written before what it speaks of is made.
  const [roles, users, { refused, signIns }] = await Promise.all([
    inventory.roles(),
    inventory.users(),
    signingIn,
  ]);
  const recorded = await readRecords(records);
  const { bindings, instances } = recorded;
  const known = [...instances, ...bindings]
    .filter((record) => clusterOf(record) === cluster.id)
    .map(({ deployment_id }) => deployment_id);
  const strayKeySpaces = await inventory.strayKeySpaces(known);
  return {
    differences: compare(recorded, { cluster: cluster.id, roles, users, refused, strayKeySpaces }),
    instances: instances.length,
    bindings: bindings.length,
    underWay: recorded.open.size,
    signIns,
  };
}

/** Tries the credentials of bindings. Each binding's password that can't be opened counts as refused. */
async function signIn(
  { records, cluster, seals }: CheckupParts,
  most: number,
  suspects: ReadonlySet<string>,
): Promise<{ refused: Map<string, string>; signIns: number }> {
  const lost = new Map<string, string>();
  // Malformed records are told when all records are read, below.
  const all = await collect(records.bindings(undefined, () => undefined));
  const bindings = all.filter((binding) => clusterOf(binding) === cluster.id);
  const tried = sample([...openCredentials(bindings, seals, lost)], most, suspects);
  const refused = await cluster.inventory.refused(tried);
  return { refused: new Map([...refused, ...lost]), signIns: tried.length };
}

async function readRecords(records: ReadableRecords): Promise<Recorded> {
  const malformed = new Map<string, string>();
  const onMalformed: OnMalformed = (key, reason) => malformed.set(key, reason);
  const { operations, owners } = await records.openOperations(MOST_OPERATIONS, onMalformed);
  const bindings = await collect(records.bindings(undefined, onMalformed));
  // A binding's instance outlives it, so instances are read after bindings.
  const instances = await collect(records.instances(onMalformed));
  const open = new Map(operations.map((operation) => [operation.id, operation]));
  const indexFaults = await records.indexFaults(instances, bindings);
  return { instances, bindings, open, owners, indexFaults, malformed };
}

async function collect<T>(stored: AsyncIterable<Stored<T>>): Promise<T[]> {
  const values: T[] = [];
  for await (const { value } of stored) {
    values.push(value);
  }
  return values;
}

/** Opens the password of each binding that should be able to sign in. */
function* openCredentials(
  bindings: readonly BindingRecord[],
  seals: Seals,
  lost: Map<string, string>,
): Generator<{ username: string; password: Secret }> {
  for (const binding of bindings) {
    const { state, work, expired, username } = binding;
    if (state !== 'ready' || work !== undefined || expired) {
      continue;
    }
    try {
      yield { username, password: etcdPassword(seals, binding) };
    } catch (error) {
      lost.set(username, (error as Error).message);
    }
  }
}

/** All that are suspect, and of the others as many as there is room for, at random. */
function sample<T extends { username: string }>(
  all: readonly T[],
  most: number,
  suspects: ReadonlySet<string>,
): T[] {
  if (all.length <= most) {
    return [...all];
  }
  const shuffled = all.map((one) => ({ one, order: suspects.has(one.username) ? -1 : Math.random() }));
  return shuffled
    .sort((a, b) => a.order - b.order)
    .slice(0, Math.max(most, suspects.size))
    .map(({ one }) => one);
}

function identify({ kind, what }: Difference): string {
  return `${kind}: ${what}`;
}
