import { fetchBinding as fetch } from '../../broker/requests/fetch.js';
import type { OsbContext } from '../context.js';
import type { Endpoint } from '../http/endpoint.js';
import { bindingId, instanceId } from '../http/request-fields.js';
import { bindingBody } from './answers.js';

/** GET /v2/service_instances/:instance_id/service_bindings/:binding_id ("Fetching a Service Binding"). */
export function fetchBinding(context: OsbContext): Endpoint {
  return async (request) => {
    const binding = await fetch(context.broker, instanceId(request), bindingId(request));
    return {
      status: 200,
      body: { ...bindingBody(context, binding, request), parameters: binding.attributes.parameters },
    };
  };
}
