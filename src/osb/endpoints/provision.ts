import type { Request } from 'express';
import {
  assertMaintenanceVersion,
  assertParameters,
  assertWhitelist,
  requirePlan,
} from '../../broker/requests/plan-rules.js';
import { type ProvisionRequest, provision as provisionInstance } from '../../broker/requests/provision.js';
import type { OsbContext } from '../context.js';
import type { Endpoint } from '../http/endpoint.js';
import {
  acceptsIncomplete,
  bodyOf,
  instanceId,
  maintenanceVersion,
  optionalObject,
  requiredText,
} from '../http/request-fields.js';
import { instanceBody } from './answers.js';

/** PUT /v2/service_instances/:instance_id (specification: "Provisioning"). */
export function provision(context: OsbContext): Endpoint {
  return async (request, signal) => {
    const asked = { ...parse(context, request), signal };
    const answer = await provisionInstance(context.broker, asked);
    const body = instanceBody(context, answer.instance);
    if (answer.kind === 'accepted') {
      return { status: 202, body: { ...body, operation: answer.operationId } };
    }
    return { status: answer.kind === 'created' ? 201 : 200, body };
  };
}

function parse({ catalog, service }: OsbContext, request: Request): ProvisionRequest {
  const instance_id = instanceId(request);
  const accepts = acceptsIncomplete(request);
  const body = bodyOf(request);
  const service_id = requiredText(body, 'service_id');
  const plan_id = requiredText(body, 'plan_id');
  const organization_guid = requiredText(body, 'organization_guid');
  const space_guid = requiredText(body, 'space_guid');
  const context = optionalObject(body, 'context') ?? {};
  const parameters = optionalObject(body, 'parameters') ?? {};
  const plan = requirePlan(catalog, service_id, plan_id);
  const asked = maintenanceVersion(body);
  assertMaintenanceVersion(plan, asked);
  const maintenance_version = asked ?? plan.maintenanceInfo?.version;
  assertParameters(plan.validators.create, parameters);
  assertWhitelist(parameters, service.names === 'portal');
  return {
    instance_id,
    acceptsIncomplete: accepts,
    service_id,
    plan_id,
    organization_guid,
    space_guid,
    context,
    parameters,
    ...(maintenance_version === undefined ? {} : { maintenance_version }),
  };
}
