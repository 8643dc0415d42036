import { unbind as removeBinding } from '../../broker/requests/unbind.js';
import type { OsbContext } from '../context.js';
import type { Endpoint } from '../http/endpoint.js';
import { acceptsIncomplete, bindingId, deletedServiceAndPlan, instanceId } from '../http/request-fields.js';
import { deletionAnswer } from './deletion.js';

/** DELETE /v2/service_instances/:instance_id/service_bindings/:binding_id (specification: "Unbinding"). */
export function unbind({ broker }: OsbContext): Endpoint {
  return async (request) => {
    const instance_id = instanceId(request);
    const binding_id = bindingId(request);
    const { service_id } = deletedServiceAndPlan(request);
    const answer = await removeBinding(broker, {
      instance_id,
      binding_id,
      service_id,
      acceptsIncomplete: acceptsIncomplete(request),
    });
    return deletionAnswer(answer);
  };
}
