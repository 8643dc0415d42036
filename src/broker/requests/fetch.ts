import { ConcurrencyError, Gone, NotFound } from '../errors.js';
import type { BindingRecord, InstanceRecord, OperationRecord, Stored } from '../model.js';
import type { Resource } from '../operations/operations.js';
import type { BrokerParts } from '../parts.js';
import type { Records } from '../ports.js';

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

const LONG_AGO = 'The last operation succeeded more than a day ago.';

/**
 * The operation with the given id, or the latest of the resource. Finished operations stay readable for a day.
 * After that, an instance or binding that is there counts as made successfully.
 *
 * Specification: "Polling Last Operation".
 * @throws NotFound when there is none
 * @throws Gone when it was a deletion that is not remembered, and what it was to delete does not exist
 */
export async function lastOperation(
  { records }: BrokerParts,
  resource: Resource,
  operationId: string | undefined,
): Promise<Pick<OperationRecord, 'kind' | 'state' | 'description'>> {
  const { instance_id, binding_id } = resource;
  const operation =
    operationId === undefined
      ? await latestOperation(records, resource)
      : await records.readOperation(instance_id, binding_id, operationId);
  if (operation === undefined) {
    if (operationId !== undefined && /^(deprovision|unbind)-/.test(operationId)) {
      await assertExists(records, resource);
    }
    const what = binding_id === undefined ? 'instance' : 'binding';
    throw new NotFound(
      operationId === undefined
        ? `The service ${what} does not exist.`
        : `The service ${what} has no such operation.`,
    );
  }
  return operation;
}

/** What is under way on the resource, else what ended last, else how it came to be. */
async function latestOperation(
  records: Records,
  resource: Resource,
): Promise<Pick<OperationRecord, 'kind' | 'state' | 'description'> | undefined> {
  const { instance_id, binding_id } = resource;
  const [found, finished] = await Promise.all([
    read(records, resource),
    records.readOperation(instance_id, binding_id, undefined),
  ]);
  const underWay = found?.value.work?.operation_id;
  const latest =
    underWay === undefined ? finished : await records.readOperation(instance_id, binding_id, underWay);
  if (latest === undefined && found?.value.state === 'ready') {
    const kind = binding_id === undefined ? 'provision' : 'bind';
    return { state: 'succeeded', kind, description: LONG_AGO };
  }
  return latest;
}

async function assertExists(records: Records, resource: Resource): Promise<void> {
  if ((await read(records, resource)) === undefined) {
    throw new Gone('What was to be deleted does not exist (any more).');
  }
}

function read(
  records: Records,
  { instance_id, binding_id }: Resource,
): Promise<Stored<InstanceRecord> | Stored<BindingRecord> | undefined> {
  return binding_id === undefined
    ? records.readInstance(instance_id)
    : records.readBinding(instance_id, binding_id);
}
