import type { Request } from 'express';
import type { BindingRecord } from '../../broker/model.js';
import { endpointObjects } from '../../credentials/available-credentials.js';
import { bindingCredentials } from '../../credentials/binding-credentials.js';
import { dashboardUrl } from '../../dashboard/address.js';
import type { OsbContext } from '../context.js';
import { minorVersion } from '../http/api-version.js';

/** `endpoints` of a binding came with 2.15. */
const ENDPOINTS_SINCE = 15;

/** The body of an answer that hands out a binding (specification: "Binding", "Fetching a Service Binding"). */
export function bindingBody(
  { broker, service }: OsbContext,
  binding: BindingRecord,
  request: Request,
): { [field: string]: unknown } {
  const { expiry } = binding;
  return {
    ...(expiry === undefined
      ? {}
      : { metadata: { expires_at: expiry.expires_at, renew_before: expiry.renew_before } }),
    credentials: bindingCredentials(broker, service, binding),
    // The last Kubernetes client speaks 2.14 and fails on the ports, which it takes for numbers.
    ...(minorVersion(request) < ENDPOINTS_SINCE ? {} : { endpoints: endpointObjects(service.endpoints) }),
  };
}

/** The body of an answer about an instance (specification: "Provisioning", "Updating"). */
export function instanceBody(
  { service }: OsbContext,
  instance: { deployment_id: string },
): {
  dashboard_url: string;
} {
  return { dashboard_url: dashboardUrl(service.publicUrl, instance.deployment_id) };
}
