import { deprovision as deprovisionInstance } from '../../broker/requests/deprovision.js';
import type { OsbContext } from '../context.js';
import type { Endpoint } from '../http/endpoint.js';
import { acceptsIncomplete, deletedServiceAndPlan, instanceId } from '../http/request-fields.js';
import { deletionAnswer } from './deletion.js';

/** DELETE /v2/service_instances/:instance_id (specification: "Deprovisioning"). */
export function deprovision({ broker }: OsbContext): Endpoint {
  return async (request) => {
    const instance_id = instanceId(request);
    const { service_id } = deletedServiceAndPlan(request);
    const answer = await deprovisionInstance(broker, {
      instance_id,
      service_id,
      acceptsIncomplete: acceptsIncomplete(request),
    });
    return deletionAnswer(answer);
  };
}
