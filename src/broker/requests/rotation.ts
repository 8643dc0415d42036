import { InvalidRequest } from '../errors.js';
import type { BindingAttributes, BindingRecord } from '../model.js';
import type { Records } from '../ports.js';

/** Whether a binding's credentials work, so that another one can succeed it. */
function isLive({ state, expired }: BindingRecord): boolean {
  return state === 'ready' && !expired;
}

/**
 * The binding that a request wants to succeed; undefined when it names none.
 *
 * Specification: "Binding Rotation".
 * @throws InvalidRequest when it can't be succeeded
 */
export async function readPredecessor(
  records: Records,
  { instance_id, binding_id, attributes }: PlaceAndAttributes,
): Promise<BindingRecord | undefined> {
  const id = attributes.predecessor_binding_id;
  if (id === undefined) {
    return undefined;
  }
  if (id === binding_id) {
    throw new InvalidRequest('predecessor_binding_id must name another binding than the new one.');
  }
  const predecessor = await records.readBinding(instance_id, id);
  if (predecessor !== undefined && isLive(predecessor.value)) {
    return predecessor.value;
  }
  throw new InvalidRequest(
    'predecessor_binding_id must name a live, unexpired binding of the same service instance.',
  );
}

interface PlaceAndAttributes {
  instance_id: string;
  binding_id: string;
  attributes: BindingAttributes;
}

/**
 * The application whose other bindings a new one may be meant to succeed without saying so, as with Cloud Foundry's
 * `cf bind-service --strategy multiple`: that of a bind without parameters.
 */
export function rotatedApplication(attributes: BindingAttributes): string | undefined {
  const { app_guid, predecessor_binding_id, parameters } = attributes;
  const asksForNothing = predecessor_binding_id === undefined && Object.keys(parameters).length === 0;
  return asksForNothing && app_guid ? app_guid : undefined;
}

/**
 * The newest of an application's bindings whose credentials work.
 * @param siblings the newest first
 */
export async function newestLive(
  records: Records,
  instanceId: string,
  siblings: readonly string[],
): Promise<BindingRecord | undefined> {
  for (const id of siblings) {
    const sibling = await records.readBinding(instanceId, id);
    if (sibling !== undefined && isLive(sibling.value)) {
      return sibling.value;
    }
  }
  return undefined;
}
