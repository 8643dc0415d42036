import {
  type AccessNames,
  type BindingRecord,
  clusterOf,
  type InstanceRecord,
  type OperationRecord,
} from '../model.js';
import { operationOf } from '../operations/operations.js';
import type { IndexFault } from '../ports.js';

/**
 * The oracle: compares what exists in the cluster with what the platform was told, which is what the records say.
 */

/** A permission of a role in etcd, as far as it matters here. */
export interface FoundPermission {
  access: 'readwrite' | 'readonly' | 'writeonly';
  key: string;
  range_end: string;
}

/** What there is in the cluster beside the records. Only names of this broker's kind appear. */
export interface Found {
  /** The cluster's id: only what records say of this one is compared. */
  cluster: string;
  roles: ReadonlyMap<string, readonly FoundPermission[]>;
  /** The roles of each user. */
  users: ReadonlyMap<string, readonly string[]>;
  /** Users that could not sign in with the password of their record, and why. */
  refused: ReadonlyMap<string, string>;
  /** Prefixes of key spaces that hold keys and whose deployment no record knows. */
  strayKeySpaces: readonly string[];
}

export interface Recorded {
  instances: readonly InstanceRecord[];
  bindings: readonly BindingRecord[];
  /** From the index of open operations, by operation id. */
  open: ReadonlyMap<string, OperationRecord>;
  /** The sessions that live. */
  owners: ReadonlySet<string>;
  /** The keys of records that can't be read, each with the reason. */
  malformed: ReadonlyMap<string, string>;
  /** Where the indexes of deployments and of what is to expire do not agree with the records. */
  indexFaults: readonly IndexFault[];
}

export type DifferenceKind =
  | 'malformed record'
  | 'role missing'
  | 'permission wrong'
  | 'user missing'
  | 'role not granted'
  | 'roles too many'
  | 'credentials refused'
  | 'expired but working'
  | 'stray role'
  | 'stray user'
  | 'stray keys'
  | 'binding without instance'
  | 'stray operation'
  | 'operation not indexed'
  | 'index entry missing'
  | 'stray index entry';

export interface Difference {
  kind: DifferenceKind;
  /** The role, user, key prefix or operation. */
  what: string;
  /** What was expected and what is there. */
  detail: string;
  binding?: BindingRecord;
  operation?: OperationRecord;
  index?: IndexFault;
}

export function compare(recorded: Recorded, found: Found): Difference[] {
  const differences = [...recorded.malformed].map(([what, detail]): Difference => {
    return { kind: 'malformed record', what, detail };
  });
  const instances = new Set(recorded.instances.map(({ instance_id }) => instance_id));
  for (const binding of recorded.bindings) {
    if (!instances.has(binding.instance_id)) {
      const what = `${binding.instance_id} / ${binding.binding_id}`;
      differences.push({
        kind: 'binding without instance',
        what,
        detail: 'no such instance is recorded',
        binding,
      });
    } else if (
      clusterOf(binding) === found.cluster &&
      binding.work === undefined &&
      binding.state === 'ready'
    ) {
      differences.push(...(binding.expired ? compareExpired(binding, found) : compareReady(binding, found)));
    }
  }
  differences.push(...strays(recorded, found), ...compareOperations(recorded));
  differences.push(...recorded.indexFaults.map(toDifference));
  // What is without a record may be that of a record which can't be read, so nothing follows from its absence.
  return recorded.malformed.size === 0
    ? differences
    : differences.filter(({ kind }) => !FROM_ABSENCE.has(kind));
}

const FROM_ABSENCE: ReadonlySet<DifferenceKind> = new Set<DifferenceKind>([
  'stray role',
  'stray user',
  'stray keys',
  'stray operation',
  'stray index entry',
  'binding without instance',
  'operation not indexed',
]);

/** A binding that was handed out must have all that it needs, and no more. */
function compareReady(binding: BindingRecord, { roles, users, refused }: Found): Difference[] {
  const { role, username } = binding;
  const differences: Difference[] = [];
  const add = (kind: DifferenceKind, what: string, detail: string) =>
    differences.push({ kind, what, detail, binding });
  const permissions = roles.get(role);
  if (permissions === undefined) {
    add('role missing', role, 'the binding is recorded and its role does not exist');
  } else if (!isExactly(permissions, binding)) {
    add(
      'permission wrong',
      role,
      `expected ${binding.access} on ${binding.key_prefix}, found ${describe(permissions)}`,
    );
  }
  const granted = users.get(username);
  if (granted === undefined) {
    add('user missing', username, 'the binding is recorded and its user does not exist');
    return differences;
  }
  if (permissions !== undefined && !granted.includes(role)) {
    add('role not granted', username, 'the user does not have its role');
  }
  if (granted.some((name) => name !== role)) {
    add('roles too many', username, `expected only ${role}, found ${granted.join(', ')}`);
  }
  const refusal = refused.get(username);
  if (refusal !== undefined) {
    add('credentials refused', username, refusal);
  }
  return differences;
}

function compareExpired(binding: BindingRecord, { roles, users }: Found): Difference[] {
  return roles.has(binding.role) || users.has(binding.username)
    ? [
        {
          kind: 'expired but working',
          what: binding.username,
          detail: 'its time is up and it still exists',
          binding,
        },
      ]
    : [];
}

/** What no record speaks of. A binding that is being made or removed has its record all the while. */
function strays({ bindings }: Recorded, { cluster, roles, users, strayKeySpaces }: Found): Difference[] {
  const here = bindings.filter((binding) => clusterOf(binding) === cluster);
  const named = new Set(here.flatMap(({ role, username }) => [role, username]));
  const stray = (kind: DifferenceKind, names: Iterable<string>): Difference[] =>
    [...names]
      .filter((name) => !named.has(name))
      .map((what) => ({ kind, what, detail: 'it exists and no record speaks of it' }));
  const keys = strayKeySpaces.map((what): Difference => {
    return { kind: 'stray keys', what, detail: 'there are keys and no instance is recorded' };
  });
  return [...stray('stray role', roles.keys()), ...stray('stray user', users.keys()), ...keys];
}

/** Each operation under way is in the index, by which recovery finds it, and the index names nothing else. */
function compareOperations({ instances, bindings, open, owners }: Recorded): Difference[] {
  const differences: Difference[] = [];
  const atWork = new Set<string>();
  for (const record of [...instances, ...bindings]) {
    if (record.work === undefined) {
      continue;
    }
    const { operation_id, kind, started_at, owner } = record.work;
    atWork.add(operation_id);
    if (!open.has(operation_id)) {
      const alive = owners.has(owner) ? 'lives' : 'is gone';
      const detail = `${kind} since ${started_at}; its replica ${alive}; recovery can not find it`;
      const operation = operationOf(record.work, resourceOf(record));
      differences.push({ kind: 'operation not indexed', what: operation_id, detail, operation });
    }
  }
  for (const [operation_id, operation] of open) {
    if (!atWork.has(operation_id)) {
      const detail = 'the index of open operations names it and no record is under way with it';
      differences.push({ kind: 'stray operation', what: operation_id, detail, operation });
    }
  }
  return differences;
}

function resourceOf(record: InstanceRecord | BindingRecord): { instance_id: string; binding_id?: string } {
  const { instance_id } = record;
  return 'binding_id' in record ? { instance_id, binding_id: record.binding_id } : { instance_id };
}

function toDifference(index: IndexFault): Difference {
  return index.kind === 'missing'
    ? { kind: 'index entry missing', what: index.key, detail: 'a record should be found by it', index }
    : { kind: 'stray index entry', what: index.key, detail: 'no record is to be found by it', index };
}

function isExactly(permissions: readonly FoundPermission[], names: AccessNames): boolean {
  const [only] = permissions;
  const end = `${names.key_prefix.slice(0, -1)}0`;
  return (
    permissions.length === 1 &&
    only !== undefined &&
    only.access === names.access &&
    only.key === names.key_prefix &&
    only.range_end === end
  );
}

function describe(permissions: readonly FoundPermission[]): string {
  return (
    permissions.map(({ access, key, range_end }) => `${access} on ${key} to ${range_end}`).join(', ') ||
    'none'
  );
}
