import { deprovision as deprovisionInstance } from '../broker/deprovision.js';
import type { OsbContext } from './context.js';
import { deletionAnswer } from './deletion.js';
import type { Endpoint } from './endpoint.js';
import { acceptsIncomplete, deletedServiceAndPlan, instanceId } from './request-fields.js';

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
