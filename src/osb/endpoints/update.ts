import type { Request } from 'express';
import { Turns } from '../../broker/requests/turns.js';
import { type UpdateRequest, update as updateInstance } from '../../broker/requests/update.js';
import type { OsbContext } from '../context.js';
import type { Endpoint } from '../http/endpoint.js';
import {
  acceptsIncomplete,
  bodyOf,
  instanceId,
  maintenanceVersion,
  optionalFields,
  optionalObject,
  optionalText,
  requiredText,
} from '../http/request-fields.js';
import { instanceBody } from './answers.js';

/** PATCH /v2/service_instances/:instance_id (specification: "Updating a Service Instance"). */
export function update(context: OsbContext): Endpoint {
  const turns = new Turns();
  return async (request) => {
    const answer = await updateInstance(context.broker, context.catalog, turns, parse(context, request));
    const body = instanceBody(context, answer.instance);
    return answer.kind === 'accepted'
      ? { status: 202, body: { ...body, operation: answer.operationId } }
      : { status: 200, body };
  };
}

function parse({ service }: OsbContext, request: Request): UpdateRequest {
  const instance_id = instanceId(request);
  const accepts = acceptsIncomplete(request);
  const body = bodyOf(request);
  optionalFields(body, 'previous_values');
  const plan_id = optionalText(body, 'plan_id');
  const parameters = optionalObject(body, 'parameters');
  const context = optionalObject(body, 'context');
  const maintenance_version = maintenanceVersion(body);
  return {
    instance_id,
    acceptsIncomplete: accepts,
    hasPortals: service.names === 'portal',
    service_id: requiredText(body, 'service_id'),
    ...(plan_id === undefined ? {} : { plan_id }),
    ...(parameters === undefined ? {} : { parameters }),
    ...(context === undefined ? {} : { context }),
    ...(maintenance_version === undefined ? {} : { maintenance_version }),
  };
}
