import type { Request, Response } from 'express';
import { deprovision as deprovisionInstance } from '../broker/deprovision.js';
import type { OsbContext } from './context.js';
import { sendDeletion } from './deletion.js';
import { acceptsIncomplete, deletedServiceAndPlan, instanceId } from './request-fields.js';

/** DELETE /v2/service_instances/:instance_id (specification: "Deprovisioning"). */
export function deprovision({ broker }: OsbContext) {
  return async (request: Request, response: Response): Promise<void> => {
    const instance_id = instanceId(request);
    const { service_id } = deletedServiceAndPlan(request);
    const answer = await deprovisionInstance(broker, {
      instance_id,
      service_id,
      acceptsIncomplete: acceptsIncomplete(request),
    });
    sendDeletion(response, answer);
  };
}
