import type { JsonObject } from '../../broker/model.js';
import { lastOperation as fetch } from '../../broker/requests/fetch.js';
import type { OsbContext } from '../context.js';
import type { Endpoint } from '../http/endpoint.js';
import { bindingId, instanceId, optionalText } from '../http/request-fields.js';

const RETRY_AFTER_SECONDS = '2';

/**
 * GET …/last_operation of an instance or a binding (specification: "Polling Last Operation"). A finished deletion
 * is answered as succeeded for a day, since command-line clients fail on the 410.
 */
export function lastOperation({ broker }: OsbContext, of: 'instance' | 'binding'): Endpoint {
  return async (request) => {
    const instance_id = instanceId(request);
    const resource = of === 'binding' ? { instance_id, binding_id: bindingId(request) } : { instance_id };
    const asked = optionalText(request.query as JsonObject, 'operation');
    const { state, kind, description } = await fetch(broker, resource, asked);
    const failedDeletion = state === 'failed' && kind === 'deprovision';
    return {
      status: 200,
      body: { state, description, ...(failedDeletion ? { instance_usable: false } : {}) },
      headers: state === 'in progress' ? { 'Retry-After': RETRY_AFTER_SECONDS } : {},
    };
  };
}
