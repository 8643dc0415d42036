import type { Request } from 'express';
import { InvalidRequest } from '../../broker/errors.js';
import type { BindingAttributes, JsonObject } from '../../broker/model.js';
import { type BindRequest, bind as makeBinding } from '../../broker/requests/bind.js';
import { assertParameters, requirePlan } from '../../broker/requests/plan-rules.js';
import type { OsbContext } from '../context.js';
import type { Endpoint } from '../http/endpoint.js';
import {
  acceptsIncomplete,
  bindingId,
  bodyOf,
  instanceId,
  optionalFields,
  optionalObject,
  optionalText,
  requiredText,
} from '../http/request-fields.js';
import { bindingBody } from './answers.js';

/** PUT /v2/service_instances/:instance_id/service_bindings/:binding_id (specification: "Binding"). */
export function bind(context: OsbContext): Endpoint {
  return async (request, signal) => {
    const answer = await makeBinding(context.broker, { ...(await parse(context, request)), signal });
    if (answer.kind === 'accepted') {
      return { status: 202, body: { operation: answer.operationId } };
    }
    return {
      status: answer.kind === 'created' ? 201 : 200,
      body: bindingBody(context, answer.binding, request),
    };
  };
}

async function parse(context: OsbContext, request: Request): Promise<BindRequest> {
  const instance_id = instanceId(request);
  const binding_id = bindingId(request);
  const accepts = acceptsIncomplete(request);
  const body = bodyOf(request);
  const predecessor = optionalText(body, 'predecessor_binding_id');
  optionalObject(body, 'context');
  const bindResource = optionalFields(body, 'bind_resource');
  const parameters = optionalObject(body, 'parameters') ?? {};
  const named =
    predecessor === undefined
      ? { service_id: requiredText(body, 'service_id'), plan_id: requiredText(body, 'plan_id') }
      : await serviceAndPlan(context, body, instance_id);
  const plan = requirePlan(context.catalog, named.service_id, named.plan_id);
  if (!plan.bindable) {
    throw new InvalidRequest(`The plan "${plan.name}" is not bindable.`);
  }
  if (predecessor !== undefined) {
    if (!plan.bindingRotatable) {
      throw new InvalidRequest(`Bindings of the plan "${plan.name}" can not be rotated.`);
    }
    if (Object.keys(parameters).length > 0) {
      throw new InvalidRequest(
        'parameters must be left out: a rotated binding has those of its predecessor.',
      );
    }
  }
  assertParameters(plan.validators.bind, parameters);
  const app = optionalText(bindResource ?? {}, 'app_guid') ?? optionalText(body, 'app_guid');
  const attributes: BindingAttributes = {
    ...named,
    ...(app === undefined ? {} : { app_guid: app }),
    ...(bindResource === undefined ? {} : { bind_resource: bindResource }),
    parameters,
    ...(predecessor === undefined ? {} : { predecessor_binding_id: predecessor }),
  };
  return { instance_id, binding_id, attributes, acceptsIncomplete: accepts };
}

/** A rotation need not name them ("Request (Rotating a Service Binding)"): they are the instance's. */
async function serviceAndPlan(
  { broker }: OsbContext,
  body: JsonObject,
  instanceId: string,
): Promise<Pick<BindingAttributes, 'service_id' | 'plan_id'>> {
  const service_id = optionalText(body, 'service_id');
  const plan_id = optionalText(body, 'plan_id');
  if (service_id !== undefined && plan_id !== undefined) {
    return { service_id, plan_id };
  }
  const instance = (await broker.records.readInstance(instanceId))?.value;
  if (instance === undefined) {
    throw new InvalidRequest(
      'predecessor_binding_id must name a live binding of an existing service instance.',
    );
  }
  return { service_id: service_id ?? instance.service_id, plan_id: plan_id ?? instance.plan_id };
}
