import { ConcurrencyError, NotFound } from './errors.js';
import type { BindingRecord, InstanceRecord, OperationRecord } from './model.js';
import type { Resource } from './operations.js';
import type { BrokerParts } from './parts.js';

/**
 * Specification: "Fetching a Service Instance".
 * @throws NotFound when it does not exist
 * @throws ConcurrencyError while it is being deleted
 */
export async function fetchInstance({ records }: BrokerParts, instanceId: string): Promise<InstanceRecord> {
  const stored = await records.readInstance(instanceId);
  if (stored === undefined) {
    throw new NotFound('The service instance does not exist.');
  }
  if (stored.value.state !== 'ready') {
    throw new ConcurrencyError();
  }
  return stored.value;
}

/**
 * Specification: "Fetching a Service Binding".
 * @throws NotFound when it does not exist, is still being made, or is being removed
 */
export async function fetchBinding(
  { records }: BrokerParts,
  instanceId: string,
  bindingId: string,
): Promise<BindingRecord> {
  const stored = await records.readBinding(instanceId, bindingId);
  if (stored?.value.state !== 'ready') {
    throw new NotFound('The service binding does not exist, or is not ready yet.');
  }
  return stored.value;
}

/**
 * The operation with the given id, or the latest of the resource. Finished operations stay readable for a day.
 *
 * Specification: "Polling Last Operation".
 * @throws NotFound when there is none
 */
export async function lastOperation(
  { records }: BrokerParts,
  { instance_id, binding_id }: Resource,
  operationId: string | undefined,
): Promise<OperationRecord> {
  const operation = await records.readOperation(instance_id, binding_id, operationId);
  if (operation === undefined) {
    const what = binding_id === undefined ? 'instance' : 'binding';
    throw new NotFound(
      operationId === undefined
        ? `The service ${what} does not exist.`
        : `The service ${what} has no such operation.`,
    );
  }
  return operation;
}
