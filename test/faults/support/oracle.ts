import assert from 'node:assert/strict';
import { checkUp } from '../../../src/broker/checkup/checkup.js';
import {
  type BindingRecord,
  FIRST_CLUSTER,
  type InstanceRecord,
  type OperationRecord,
} from '../../../src/broker/model.js';
import { Inventory as ClusterInventory } from '../../../src/cluster/inventory.js';
import { readConfig } from '../../../src/config/config.js';
import { Sealer } from '../../../src/credentials/seal.js';
import { Secret } from '../../../src/credentials/secret.js';
import { prefixEnd } from '../../../src/etcd/ranges.js';
import { PORTAL_USER } from '../../../src/portal/user.js';
import { HistoryLease } from '../../../src/records/history-lease.js';
import { keys } from '../../../src/records/keys.js';
import { RecordStore } from '../../../src/records/record-store.js';
import type { Login, TestCluster } from './cluster.js';

const MOST_SHOWN = 20;

/** All that the broker has written and made in a cluster. */
export interface Inventory {
  instances: Map<string, InstanceRecord>;
  /** By instance id and binding id, with a space between them. */
  bindings: Map<string, BindingRecord>;
  open: string[];
  operations: OperationRecord[];
  /** Deployment id to instance id. */
  deployments: Map<string, string>;
  users: string[];
  roles: string[];
  /** Deployment ids under which there are keys. */
  withKeys: Set<string>;
}

async function valuesUnder<T>(cluster: TestCluster, prefix: string): Promise<[string, T][]> {
  const { kvs } = await cluster.root.kv.range({ key: Buffer.from(prefix), range_end: prefixEnd(prefix) });
  return kvs.map((kv) => [kv.key.toString('utf8'), JSON.parse(kv.value.toString('utf8')) as T]);
}

export async function takeInventory(cluster: TestCluster): Promise<Inventory> {
  const { auth, kv } = cluster.root;
  // Users and roles first: what is made is recorded before and unrecorded after, so none is wrongly without record.
  const users = (await auth.userList()).users;
  const roles = (await auth.roleList()).roles;
  const tenants = await kv.range({ key: Buffer.from('/d/'), range_end: prefixEnd('/d/'), keys_only: true });
  const [instances, bindings, open, operations, deployments] = await Promise.all([
    valuesUnder<InstanceRecord>(cluster, keys.instances),
    valuesUnder<BindingRecord>(cluster, keys.bindings),
    valuesUnder<OperationRecord>(cluster, keys.open),
    valuesUnder<OperationRecord>(cluster, keys.operations),
    valuesUnder<{ instance_id: string }>(cluster, keys.deployment('')),
  ]);
  return {
    instances: new Map(instances.map(([, record]) => [record.instance_id, record])),
    bindings: new Map(bindings.map(([, record]) => [`${record.instance_id} ${record.binding_id}`, record])),
    open: open.map(([, { id }]) => id),
    operations: operations.map(([, record]) => record),
    deployments: new Map(
      deployments.map(([key, { instance_id }]) => [key.slice(keys.deployment('').length), instance_id]),
    ),
    users: users.filter((name) => name !== 'root' && name !== PORTAL_USER),
    roles: roles.filter((name) => name !== 'root' && name !== PORTAL_USER),
    withKeys: new Set(tenants.kvs.map(({ key }) => key.toString('utf8').split('/')[2] as string)),
  };
}

/**
 * Compares a cluster at rest with the broker's records, independently of the broker's own code for it.
 * @returns one line for each thing that is missing, unfinished or too much
 */
export async function findDifferences(
  cluster: TestCluster,
  encryptionKeys: readonly string[] = [cluster.encryptionKey],
): Promise<string[]> {
  const found: string[] = [];
  const all = await takeInventory(cluster);
  const deploymentIds = new Set<string>();
  found.push(...all.open.map((id) => `operation ${id} is still under way`));
  for (const operation of all.operations) {
    if (operation.state === 'in progress' && !all.open.includes(operation.id)) {
      found.push(`operation ${operation.id} is in progress but nothing drives it`);
    }
  }
  for (const record of all.instances.values()) {
    deploymentIds.add(record.deployment_id);
    if (record.state !== 'ready' || record.work !== undefined) {
      found.push(`instance ${record.instance_id} is ${record.state}`);
    }
    if (all.deployments.get(record.deployment_id) !== record.instance_id) {
      found.push(`instance ${record.instance_id} is not found by its deployment`);
    }
  }
  for (const [deployment, instance] of all.deployments) {
    if (!deploymentIds.has(deployment)) {
      found.push(`deployment ${deployment} belongs to no instance (it names ${instance})`);
    }
  }
  for (const deployment of all.withKeys) {
    if (!deploymentIds.has(deployment)) {
      found.push(`deployment ${deployment} has keys but no instance`);
    }
  }
  const names = new Set<string>();
  const seals = sealer(encryptionKeys);
  for (const record of all.bindings.values()) {
    names.add(record.username);
    found.push(...(await inspectBinding(cluster, record, all, seals)));
  }
  found.push(...all.users.filter((name) => !names.has(name)).map((name) => `user ${name} has no record`));
  found.push(...all.roles.filter((name) => !names.has(name)).map((name) => `role ${name} has no record`));
  return found;
}

function sealer(encryptionKeys: readonly string[]): (record: BindingRecord) => string {
  // The ids of keys are derived in the configuration; a record's own id is good enough to try every key.
  return (record) => {
    const id = Sealer.keyIdOf(record.sealed_password) ?? '';
    for (const key of encryptionKeys) {
      try {
        const opened = new Sealer([{ id, key: new Secret(key) }]).open(
          record.sealed_password,
          record.username,
        );
        return opened.reveal();
      } catch {
        // another key's
      }
    }
    throw new Error('no key opens it');
  };
}

async function inspectBinding(
  cluster: TestCluster,
  record: BindingRecord,
  all: Inventory,
  open: (record: BindingRecord) => string,
): Promise<string[]> {
  const { instance_id, binding_id, username, role, state } = record;
  const name = `binding ${binding_id} of ${instance_id}`;
  if (state !== 'ready' || record.work !== undefined) {
    return [`${name} is ${state}`];
  }
  const found: string[] = [];
  const instance = all.instances.get(instance_id);
  if (instance?.deployment_id !== record.deployment_id) {
    found.push(`${name} has no instance`);
  }
  if (!all.users.includes(username) || !all.roles.includes(role)) {
    return [...found, `${name} has no user or no role`];
  }
  const { auth } = cluster.root;
  const [user, given] = await Promise.all([
    auth.userGet({ name: username }).catch(() => undefined),
    auth.roleGet({ role }).catch(() => undefined),
  ]);
  if (user === undefined || given === undefined) {
    return [...found, `${name} is losing its user or its role just now`];
  }
  const { roles } = user;
  if (roles.length !== 1 || roles[0] !== role) {
    found.push(`${name}: its user has the roles ${roles.join(', ')}`);
  }
  const { perm } = given;
  const granted = perm.map(
    (each) =>
      `${String(each.permType).toUpperCase()} ${each.key.toString('utf8')}-${each.range_end.toString('utf8')}`,
  );
  const kind = record.access === 'readonly' ? 'READ' : 'READWRITE';
  const wanted = `${kind} ${record.key_prefix}-${record.key_prefix.slice(0, -1)}0`;
  if (granted.length !== 1 || granted[0] !== wanted) {
    found.push(`${name}: its role grants ${granted.join(', ')} instead of ${wanted}`);
  }
  try {
    if (!(await signsIn(cluster, { username, password: open(record) }))) {
      found.push(`${name}: the recorded password does not sign in`);
    }
  } catch (error) {
    found.push(`${name}: the password can not be read: ${(error as Error).message}`);
  }
  return found;
}

/** Whether etcd takes a user name and password. */
export async function signsIn(cluster: TestCluster, { username, password }: Login): Promise<boolean> {
  try {
    await cluster.root.unauthenticated('Auth', 'authenticate', { name: username, password }, 5_000);
    return true;
  } catch (error) {
    if ((error as { kind?: string }).kind === 'wrong-password') {
      return false;
    }
    throw error;
  }
}

/** Whether credentials that a bind answered can read and, if they should, write in their key space. */
export async function credentialsWork(
  cluster: TestCluster,
  credentials: Login & { key_prefix: string },
): Promise<boolean> {
  const connection = cluster.connect(credentials);
  try {
    await connection.kv.range({ key: Buffer.from(`${credentials.key_prefix}a-key`) });
    return true;
  } catch (error) {
    if (['wrong-password', 'denied', 'signed-out'].includes((error as { kind?: string }).kind ?? '')) {
      return false;
    }
    throw error;
  } finally {
    connection.close();
  }
}

/** What `compose-etcd-broker check` finds. It counts what is under way as neither right nor wrong. */
async function findByProduct(cluster: TestCluster, encryptionKeys: readonly string[]): Promise<string[]> {
  const records = new RecordStore(cluster.root, new HistoryLease(cluster.root), { id: 'none' });
  const { encryptionKeys: keyring } = readConfig({
    ...cluster.env(),
    BROKER_USERNAME: 'platform',
    BROKER_PASSWORD: 'the-password-of-the-platform',
    BROKER_ENCRYPTION_KEY: encryptionKeys.join(','),
  });
  const { differences } = await checkUp({
    records,
    cluster: { id: FIRST_CLUSTER, inventory: new ClusterInventory(cluster.root) },
    seals: new Sealer(keyring),
  });
  return differences.map(({ kind, what, detail }) => `check says: ${kind}: ${what}: ${detail}`);
}

/**
 * Waits until the cluster holds what the records say and nothing else, by the product's own check and by one that
 * shares no code with it.
 */
export async function assertOracle(
  cluster: TestCluster,
  withinMs = 10_000,
  encryptionKeys: readonly string[] = [cluster.encryptionKey],
): Promise<void> {
  const until = performance.now() + withinMs;
  let found = await findDifferences(cluster, encryptionKeys);
  while (found.length > 0 && performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    found = await findDifferences(cluster, encryptionKeys);
  }
  found.push(...(await findByProduct(cluster, encryptionKeys)));
  assert.deepEqual(
    found.slice(0, MOST_SHOWN),
    [],
    `The cluster is not as the records say after ${withinMs / 1_000} s`,
  );
}
