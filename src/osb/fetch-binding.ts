import type { Request, Response } from 'express';
import { fetchBinding as fetch } from '../broker/fetch.js';
import { bindingBody } from './answers.js';
import type { OsbContext } from './context.js';
import { bindingId, instanceId } from './request-fields.js';

/** GET /v2/service_instances/:instance_id/service_bindings/:binding_id ("Fetching a Service Binding"). */
export function fetchBinding(context: OsbContext) {
  return async (request: Request, response: Response): Promise<void> => {
    const binding = await fetch(context.broker, instanceId(request), bindingId(request));
    response.json({ ...bindingBody(context, binding), parameters: binding.attributes.parameters });
  };
}
