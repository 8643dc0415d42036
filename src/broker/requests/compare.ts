import { isDeepStrictEqual } from 'node:util';
import type { BindingAttributes, InstanceRecord } from '../model.js';

/** The attributes that make two provision requests the same (specification: "Provisioning", 200 and 409). */
export type InstanceAttributes = Pick<
  InstanceRecord,
  'service_id' | 'plan_id' | 'organization_guid' | 'space_guid' | 'parameters'
>;

/** Whether a repeated provision request asks for what exists. `context` is information, not an attribute. */
export function sameInstance(existing: InstanceAttributes, asked: InstanceAttributes): boolean {
  return (
    existing.service_id === asked.service_id &&
    existing.plan_id === asked.plan_id &&
    existing.organization_guid === asked.organization_guid &&
    existing.space_guid === asked.space_guid &&
    isDeepStrictEqual(existing.parameters, asked.parameters)
  );
}

/** Whether a repeated bind request asks for what exists. */
export function sameBinding(existing: BindingAttributes, asked: BindingAttributes): boolean {
  return (
    existing.service_id === asked.service_id &&
    existing.plan_id === asked.plan_id &&
    existing.app_guid === asked.app_guid &&
    existing.predecessor_binding_id === asked.predecessor_binding_id &&
    // An empty one was kept as it came by older releases.
    isDeepStrictEqual(existing.bind_resource ?? {}, asked.bind_resource ?? {}) &&
    isDeepStrictEqual(existing.parameters, asked.parameters)
  );
}
