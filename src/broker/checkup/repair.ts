import type { BindingRecord, OperationRecord, Stored } from '../model.js';
import type { AccessControl, ChangeResult, IndexFault, RecordChange, Seals, TenantKeys } from '../ports.js';
import { DEPLOYMENTS } from '../tenant-prefix.js';
import type { Difference } from './oracle.js';

export interface RepairParts {
  records: {
    readBinding(instanceId: string, bindingId: string): Promise<Stored<BindingRecord> | undefined>;
    change(change: RecordChange): Promise<ChangeResult>;
    forgetOpenOperation(operationId: string): Promise<void>;
    indexOpenOperation(operation: OperationRecord): Promise<void>;
    mendIndex(fault: IndexFault): Promise<void>;
  };
  access: AccessControl;
  tenantKeys: TenantKeys;
  seals: Seals;
}

const UNINTERRUPTED = () => undefined;

/**
 * Mends one difference: what is recorded is made again, what is not recorded is removed. Safe to repeat.
 * @returns what was done, for a person
 * @throws Error when it can't be mended; the message says why
 */
export async function repair(parts: RepairParts, difference: Difference): Promise<string> {
  const { kind, what, binding } = difference;
  const { records, access, tenantKeys } = parts;
  switch (kind) {
    case 'role missing':
    case 'permission wrong':
    case 'user missing':
    case 'role not granted':
    case 'roles too many':
    case 'credentials refused':
      return remake(parts, binding as BindingRecord);
    case 'expired but working':
    case 'stray role':
    case 'stray user':
      await access.revoke({ role: what, username: what }, UNINTERRUPTED);
      return 'removed';
    case 'stray keys':
      await tenantKeys.deleteAll(what.slice(DEPLOYMENTS.length, -1), UNINTERRUPTED);
      return 'keys deleted';
    case 'binding without instance':
      return dropBinding(parts, binding as BindingRecord);
    case 'stray operation':
      await records.forgetOpenOperation(what);
      return 'taken out of the index';
    case 'operation not indexed':
      await records.indexOpenOperation(difference.operation as OperationRecord);
      return 'put into the index; a running broker takes it over';
    case 'index entry missing':
    case 'stray index entry':
      await records.mendIndex(difference.index as IndexFault);
      return kind === 'stray index entry' ? 'taken out of the index' : 'put into the index';
  }
}

/** Makes role and user as the record says. Starting from nothing, so that what was added by hand is gone too. */
async function remake({ records, access, seals }: RepairParts, seen: BindingRecord): Promise<string> {
  const stored = await records.readBinding(seen.instance_id, seen.binding_id);
  if (stored?.value.state !== 'ready' || stored.value.expired) {
    return 'nothing to do: the binding has changed meanwhile';
  }
  const password = seals.open(stored.value.sealed_password, stored.value.username);
  await access.revoke(stored.value, UNINTERRUPTED);
  await access.grant(stored.value, password, UNINTERRUPTED);
  return 'role and user made again as recorded; clients sign in again';
}

async function dropBinding({ records, access }: RepairParts, seen: BindingRecord): Promise<string> {
  const { instance_id, binding_id } = seen;
  const stored = await records.readBinding(instance_id, binding_id);
  if (stored === undefined) {
    return 'nothing to do: the binding is gone';
  }
  await access.revoke(stored.value, UNINTERRUPTED);
  const result = await records.change({ binding: { instance_id, binding_id, expected: stored, next: null } });
  if (!result.done) {
    throw new Error('the binding changed meanwhile; run the check again');
  }
  return 'binding removed';
}
