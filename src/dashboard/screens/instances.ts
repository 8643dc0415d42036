import type { InstanceRecord } from '../../broker/model.js';
import { dashboardUrl } from '../address.js';
import { empty, moment } from '../frame.js';
import { type Html, html } from '../html.js';

/** All instances, for the operator. */
export function instancesScreen(
  instances: readonly InstanceRecord[],
  publicUrl: string,
  hasMore: boolean,
): Html {
  return html`<section class="card" aria-labelledby="instances"><h1 id="instances">Service instances</h1>
${
  instances.length === 0
    ? empty(html`There are none yet. <code>npx compose-etcd-broker bind my-etcd</code> makes one.`)
    : html`<div class="scroll" tabindex="0" role="region" aria-labelledby="instances"><table><thead><tr><th scope="col">Instance</th><th scope="col">Deployment</th><th scope="col">Created</th><th scope="col">State</th></tr></thead><tbody>
${instances.map(({ instance_id, deployment_id, created_at, state }) => html`<tr><td><a href="${dashboardUrl(publicUrl, deployment_id)}">${instance_id}</a></td><td><code>${deployment_id}</code></td><td>${moment(created_at)}</td><td><span class="state ${state}">${state}</span></td></tr>`)}
</tbody></table></div>${hasMore && html`<p class="hint">There are more than these.</p>`}`
}
</section>`;
}
