import { randomBytes } from 'node:crypto';
import type { OperationKind, OperationRecord, OperationState, Work } from '../model.js';

/** What an operation works on. */
export interface Resource {
  instance_id: string;
  binding_id?: string;
}

/** How an operation ended. */
export interface Ended {
  operation_id: string;
  state: OperationState;
  description: string;
}

/** Why a bind failed whose binding was deleted before it was ready. */
export const DELETED_MEANWHILE = 'The binding was deleted while it was being made.';

/** A new operation. Its id is safe in a URL without encoding, since some clients do not encode it. */
export function openOperation(kind: OperationKind, resource: Resource, owner: string): OperationRecord {
  const operation_id = `${kind}-${randomBytes(8).toString('hex')}`;
  return operationOf({ operation_id, kind, owner, started_at: new Date().toISOString() }, resource);
}

/** An owner that is no replica's session: whichever replica looks first takes the work over. */
export const NOBODY = 'operator';

/** What a record says of the operation that works on it. */
export function workOf(operation: OperationRecord, failure?: string): Work {
  return {
    operation_id: operation.id,
    kind: operation.kind,
    owner: operation.owner,
    started_at: operation.started_at,
    ...(failure === undefined ? {} : { failure }),
  };
}

/** The operation that a record's work stands for. */
export function operationOf(
  { operation_id, kind, owner, started_at }: Work,
  { instance_id, binding_id }: Resource,
): OperationRecord {
  return {
    schema: 1,
    id: operation_id,
    kind,
    state: 'in progress',
    description: `${kind} is in progress`,
    instance_id,
    ...(binding_id === undefined ? {} : { binding_id }),
    owner,
    started_at,
  };
}

/** The operation at its end. */
export function finish(
  operation: OperationRecord,
  state: OperationState,
  description?: string,
): OperationRecord {
  return {
    ...operation,
    state,
    description: description ?? `${operation.kind} ${state}`,
    finished_at: new Date().toISOString(),
  };
}

/** How the work on a record has ended when the record is gone: a deletion has done what it was to do. */
export function endWithRecord({ operation_id, kind, failure }: Work): Ended {
  const isDeletion = kind === 'unbind' || kind === 'deprovision';
  return isDeletion
    ? { operation_id, state: 'succeeded', description: `${kind} succeeded` }
    : { operation_id, state: 'failed', description: failure ?? DELETED_MEANWHILE };
}
