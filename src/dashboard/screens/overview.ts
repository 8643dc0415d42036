import type { Overview } from '../../administration/overview.js';
import type { InstanceRecord, OperationRecord } from '../../broker/model.js';
import type { ServiceAddress } from '../../credentials/available-credentials.js';
import { bytes, empty, moment, number } from '../frame.js';
import { type Html, html } from '../html.js';

export interface OverviewScreen {
  instance: InstanceRecord;
  plan: string;
  overview: Overview;
  service: ServiceAddress;
  /** What the portals allow. */
  mostConnections: number;
}

/** What the instance is, how full it is, what happened to it, and how to connect. */
export function overviewScreen({ instance, plan, overview, service, mostConnections }: OverviewScreen): Html {
  const { fill, operations, bindings, keySpaces, etcdVersion } = overview;
  return html`<div class="grid">
<section class="card" aria-labelledby="deployment"><h2 id="deployment">Deployment</h2>
<dl class="facts">
<dt>Type</dt><dd>etcd ${etcdVersion}</dd>
<dt>Plan</dt><dd>${plan}</dd>
<dt>State</dt><dd><span class="state ${instance.state}">${instance.state}</span></dd>
<dt>Deployment id</dt><dd><code>${instance.deployment_id}</code></dd>
<dt>Instance id</dt><dd><code>${instance.instance_id}</code></dd>
<dt>Created</dt><dd>${moment(instance.created_at)}</dd>
</dl></section>
<section class="card" aria-labelledby="usage"><h2 id="usage">Usage</h2>
${usage('Storage', fill.stored, fill.quota, bytes)}
${usage('Connections', fill.connections, mostConnections, number)}
<div class="measure"><div class="row"><span>Keys</span><strong>${number(fill.keys)}</strong></div><p class="hint">in ${number(keySpaces.length)} key ${keySpaces.length === 1 ? 'space' : 'spaces'}</p></div>
</section>
</div>
<section class="card" aria-labelledby="connect"><h2 id="connect">Connect</h2>${connect(service, instance)}</section>
<section class="card" aria-labelledby="bindings"><h2 id="bindings">Bindings</h2>
${bindings.length === 0 ? empty(html`Nothing is bound. <code>cf bind-service my-app my-etcd</code> gives an application its own user.`) : bindingTable(overview)}
</section>
<section class="card" aria-labelledby="operations"><h2 id="operations">Recent operations</h2>
${operations.length === 0 ? empty('No operation of the last day is remembered.') : html`<ul class="operations">${operations.map(operation)}</ul>`}
</section>`;
}

function usage(name: string, used: number | undefined, most: number, text: (amount: number) => string): Html {
  if (used === undefined) {
    return html`<div class="measure"><div class="row"><span>${name}</span><strong>not measured yet</strong></div><meter aria-label="${name}" min="0" max="1" value="0"></meter><p class="hint">of ${text(most)}</p></div>`;
  }
  const share = most === 0 ? 0 : (used / most) * 100;
  return html`<div class="measure"><div class="row"><span>${name}</span><strong>${text(used)} of ${text(most)}</strong></div>
<meter aria-label="${name}" min="0" max="${most}" low="${Math.floor(most * 0.8)}" high="${Math.floor(most * 0.9)}" optimum="0" value="${Math.min(used, most)}">${share.toFixed(1)} %</meter><p class="hint">${share.toFixed(1)} % used</p></div>`;
}

function bindingTable({ bindings, hasMoreBindings }: Overview): Html {
  return html`<div class="scroll" tabindex="0" role="region" aria-labelledby="bindings"><table><thead><tr><th scope="col">Binding</th><th scope="col">Application</th><th scope="col">Key space</th><th scope="col">Access</th><th scope="col">Created</th><th scope="col">Expires</th><th scope="col">State</th></tr></thead><tbody>
${bindings.map(
  (binding) =>
    html`<tr><td><code>${binding.binding_id}</code></td><td>${binding.app_guid === undefined ? '–' : html`<code>${binding.app_guid}</code>`}</td><td>${binding.key_space}</td><td>${binding.access}</td><td>${moment(binding.created_at)}</td><td>${binding.expires_at === undefined ? 'never' : moment(binding.expires_at)}</td><td><span class="state ${binding.state}">${binding.state}</span></td></tr>`,
)}
</tbody></table></div>${hasMoreBindings && html`<p class="hint">There are more than these.</p>`}`;
}

function operation({ kind, state, description, started_at, finished_at, binding_id }: OperationRecord): Html {
  const isUnderWay = state === 'in progress';
  return html`<li${isUnderWay && html` data-under-way`}><div class="row"><span><strong>${kind}</strong>${binding_id !== undefined && html` <code>${binding_id}</code>`}</span><span class="state ${state.replace(' ', '-')}">${state}</span></div>
<p class="hint">${description} · ${moment(finished_at ?? started_at)}</p>${isUnderWay && html`<progress aria-label="${kind} is in progress"></progress>`}</li>`;
}

/** Without a password: each binding has its own. */
function connect(service: ServiceAddress, { instance_id, deployment_id }: InstanceRecord): Html {
  const hosts = service.endpoints.map((endpoint) => endpoint.replace('://', '://<user>:<password>@'));
  const cli = `ETCDCTL_API=3 etcdctl --endpoints=${service.endpoints.join(',')} --user=<user>:<password>${service.caCertificate === undefined ? '' : ' --cacert=ca.pem'} get --prefix ""`;
  const certificate = service.caCertificate?.trim();
  const administration = { instance_id, root: `${service.publicUrl}/api`, deployment_id };
  const tabs: [string, Html][] = [
    [
      'HTTPS',
      html`<p class="hint">The fields <code>uri</code> and <code>uri_direct_1</code> of the credentials. User and password are a binding's own.</p>${code(hosts.join('\n'))}`,
    ],
    [
      'Command line',
      html`<p class="hint">With the certificate of the next tab in <code>ca.pem</code>.</p>${code(cli)}`,
    ],
    [
      'Certificate',
      certificate === undefined
        ? html`<p class="hint">The endpoints have certificates of a public authority.</p>`
        : html`<p class="hint">Who signs the endpoints' certificates: <code>ca.pem</code>.</p>${code(certificate)}`,
    ],
    [
      'Environment',
      html`<p class="hint">An application finds its credentials here once it is bound.</p>${code('echo "$VCAP_SERVICES" | jq \'."compose-for-etcd"[0].credentials\'')}<p class="hint">The administration API:</p>${code(JSON.stringify({ instance_administration_api: administration }, null, 2))}`,
    ],
  ];
  return html`<div data-tabs>${tabs.map(([name, content], index) => html`<section class="tab" id="connect-${index}" aria-label="${name}"><h3>${name}</h3>${content}</section>`)}</div>`;
}

export function code(text: string): Html {
  return html`<div class="code"><pre tabindex="0"><code>${text}</code></pre><button type="button" class="copy" data-copy hidden>Copy</button></div>`;
}
