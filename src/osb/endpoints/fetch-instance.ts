import { fetchInstance as fetch } from '../../broker/requests/fetch.js';
import type { OsbContext } from '../context.js';
import type { Endpoint } from '../http/endpoint.js';
import { instanceId } from '../http/request-fields.js';
import { instanceBody } from './answers.js';

/** GET /v2/service_instances/:instance_id (specification: "Fetching a Service Instance"). */
export function fetchInstance(context: OsbContext): Endpoint {
  return async (request) => {
    const instance = await fetch(context.broker, instanceId(request));
    const { service_id, plan_id, parameters, maintenance_version } = instance;
    const body = {
      service_id,
      plan_id,
      ...instanceBody(context, instance),
      parameters,
      ...(maintenance_version === undefined ? {} : { maintenance_info: { version: maintenance_version } }),
    };
    return { status: 200, body };
  };
}
