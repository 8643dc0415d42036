import { etcdPassword } from '../etcd-password.js';
import type { BindingRecord, InstanceRecord, OperationRecord, Stored } from '../model.js';
import type { AccessControl, ChangeResult, IndexFault, RecordChange, Seals, TenantKeys } from '../ports.js';
import { DEPLOYMENTS } from '../tenant-prefix.js';
import type { ReadableRecords } from './checkup.js';
import type { Difference } from './oracle.js';

export interface RepairParts {
  records: ReadableRecords & {
    readInstance(instanceId: string): Promise<Stored<InstanceRecord> | undefined>;
    readBinding(instanceId: string, bindingId: string): Promise<Stored<BindingRecord> | undefined>;
    change(change: RecordChange): Promise<ChangeResult>;
    dropMalformed(key: string): Promise<void>;
    forgetOpenOperation(operationId: string): Promise<void>;
    indexOpenOperation(operation: OperationRecord): Promise<void>;
    mendIndex(fault: IndexFault): Promise<void>;
  };
  /** What all records speak of at this moment. Throws when one can't be read. */
  recordedNames: {
    current(): Promise<{ names: ReadonlySet<string>; deployments: ReadonlySet<string> }>;
  };
  cluster: { readonly access: AccessControl; readonly tenantKeys: TenantKeys };
  seals: Seals;
}

const UNINTERRUPTED = () => undefined;
const CHANGED = 'nothing to do: it has changed meanwhile';

/**
 * Repairs one difference: what is recorded is made again, what is not recorded is removed. Safe to repeat. A person
 * may have thought for long before agreeing, so each repair looks again right before it changes anything.
 * @returns what was done, for a person
 * @throws Error when it can't be repaired; the message says why
 */
export async function repair(parts: RepairParts, difference: Difference): Promise<string> {
  const { kind, what } = difference;
  const { records, cluster, recordedNames } = parts;
  switch (kind) {
    case 'malformed record':
      await records.dropMalformed(what);
      return 'the record was deleted; run the check again for what it spoke of';
    case 'role missing':
    case 'permission wrong':
    case 'user missing':
    case 'role not granted':
    case 'roles too many':
    case 'credentials refused':
      return remake(parts, difference.binding as BindingRecord);
    case 'expired but working':
      return endExpired(parts, difference.binding as BindingRecord);
    case 'stray role':
    case 'stray user':
      if ((await recordedNames.current()).names.has(what)) {
        return CHANGED;
      }
      await cluster.access.revoke({ role: what, username: what }, UNINTERRUPTED);
      return 'removed';
    case 'stray keys':
      return deleteKeys(parts, what);
    case 'binding without instance':
      return dropBinding(parts, difference.binding as BindingRecord);
    case 'stray operation':
    case 'operation not indexed':
      return repairOperation(parts, difference);
    case 'index entry missing':
    case 'stray index entry':
      return repairIndex(parts, difference.index as IndexFault);
  }
}

/** Makes role and user as the record says. Starting from nothing, so that what was added by hand is gone too. */
async function remake(
  { records, cluster: { access }, seals }: RepairParts,
  seen: BindingRecord,
): Promise<string> {
  const stored = await records.readBinding(seen.instance_id, seen.binding_id);
  if (stored?.value.state !== 'ready' || stored.value.expired) {
    return CHANGED;
  }
  const password = etcdPassword(seals, stored.value);
  await access.revoke(stored.value, UNINTERRUPTED);
  await access.grant(stored.value, password, UNINTERRUPTED);
  return 'role and user made again as recorded; clients sign in again';
}

async function endExpired(
  { records, cluster: { access } }: RepairParts,
  seen: BindingRecord,
): Promise<string> {
  const stored = await records.readBinding(seen.instance_id, seen.binding_id);
  if (stored?.value.username !== seen.username || !stored.value.expired) {
    return CHANGED;
  }
  await access.revoke(stored.value, UNINTERRUPTED);
  return 'removed';
}

async function deleteKeys(
  { recordedNames, cluster: { tenantKeys } }: RepairParts,
  prefix: string,
): Promise<string> {
  const [id, keySpace] = prefix.slice(DEPLOYMENTS.length).split('/') as [string, string];
  if ((await recordedNames.current()).deployments.has(id)) {
    return CHANGED;
  }
  // Only the key space: what else is below the id is not of the broker's form.
  await tenantKeys.deleteAll(`${id}/${keySpace}`, UNINTERRUPTED);
  return 'keys deleted';
}

async function dropBinding(
  { records, cluster: { access } }: RepairParts,
  seen: BindingRecord,
): Promise<string> {
  const { instance_id, binding_id } = seen;
  const stored = await records.readBinding(instance_id, binding_id);
  if (stored === undefined || (await records.readInstance(instance_id)) !== undefined) {
    return CHANGED;
  }
  await access.revoke(stored.value, UNINTERRUPTED);
  const result = await records.change({ binding: { instance_id, binding_id, expected: stored, next: null } });
  if (!result.done) {
    throw new Error('the binding changed meanwhile; run the check again');
  }
  return 'binding removed';
}

/** The index of open operations follows the record that an operation works on. */
async function repairOperation(
  { records }: RepairParts,
  { kind, what, operation }: Difference,
): Promise<string> {
  const { instance_id, binding_id } = operation as OperationRecord;
  const stored =
    binding_id === undefined
      ? await records.readInstance(instance_id)
      : await records.readBinding(instance_id, binding_id);
  const isUnderWay = stored?.value.work?.operation_id === what;
  if (isUnderWay === (kind === 'stray operation')) {
    return CHANGED;
  }
  if (isUnderWay) {
    await records.indexOpenOperation(operation as OperationRecord);
    return 'put into the index; a running broker takes it over';
  }
  await records.forgetOpenOperation(what);
  return 'taken out of the index';
}

async function repairIndex({ records }: RepairParts, fault: IndexFault): Promise<string> {
  const [bindings, instances]: [BindingRecord[], InstanceRecord[]] = [[], []];
  for await (const { value } of records.bindings()) {
    bindings.push(value);
  }
  for await (const { value } of records.instances()) {
    instances.push(value);
  }
  const faults = await records.indexFaults(instances, bindings);
  if (!faults.some(({ kind, key }) => kind === fault.kind && key === fault.key)) {
    return CHANGED;
  }
  await records.mendIndex(fault);
  return fault.kind === 'stray' ? 'taken out of the index' : 'put into the index';
}
