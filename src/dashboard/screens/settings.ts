import type { BindingSummary } from '../../administration/overview.js';
import type { WhitelistEntry } from '../../administration/whitelist.js';
import type { ApiToken } from '../../records/api-tokens.js';
import { bytes, csrfField, empty, moment } from '../frame.js';
import { type Html, html } from '../html.js';
import type { Session } from '../session.js';
import { code } from './overview.js';

export interface SettingsScreen {
  base: string;
  session: Session;
  units: number;
  mostUnits: number;
  unitBytes: number;
  stored?: number | undefined;
  /** Auto-scaling's bound; absent where it is off. */
  autoScaling?: number | undefined;
  whitelist: readonly WhitelistEntry[];
  /** Without them there is no whitelist, and no password is rotated. */
  hasPortals: boolean;
  /** Whose credentials work. */
  bindings: readonly BindingSummary[];
  tokens: readonly ApiToken[];
  shownOnce: ShownOnce;
  etcdVersion: string;
}

/** Secrets that were made just now. */
export interface ShownOnce {
  token?: string;
  /** Of a binding whose password was rotated. */
  credentials?: { [field: string]: unknown };
  bindingId?: string;
}

/** What can be changed. Each section is a form of its own. */
export function settingsScreen(screen: SettingsScreen): Html {
  return html`<h1 class="visually-hidden">Settings</h1>${scale(screen)}${whitelist(screen)}${passwords(screen)}${tokens(screen)}
<section class="card" aria-labelledby="version"><h2 id="version">Version</h2><p>etcd ${screen.etcdVersion}. The version is the cluster's, and its operator upgrades it; applications go on meanwhile.</p></section>`;
}

function scale({ base, session, units, mostUnits, unitBytes, stored, autoScaling }: SettingsScreen): Html {
  return html`<section class="card" aria-labelledby="scale"><h2 id="scale">Scale</h2>
<form method="post" action="${base}/settings/units">${csrfField(session)}
<label for="units">Units of ${bytes(unitBytes)}</label>
<div class="inline"><input type="range" id="units" name="units" min="1" max="${mostUnits}" step="1" value="${units}" data-unit-bytes="${unitBytes}" aria-describedby="units-hint"><output for="units">${units} ${units === 1 ? 'unit' : 'units'}, ${bytes(units * unitBytes)}</output></div>
<p class="hint" id="units-hint">Storage, history and backups follow at once; nobody is cut off. ${stored === undefined ? '' : `${bytes(stored)} are used.`}</p>
<label for="max_units">Add units by itself, up to</label>
<div class="inline"><input type="number" id="max_units" name="max_units" min="1" max="${mostUnits}" value="${autoScaling ?? ''}" aria-describedby="auto-hint"><span>units</span></div>
<p class="hint" id="auto-hint">A unit is added when 90 % is used; none is ever taken away. Empty turns it off.</p>
<button class="primary">Save</button></form></section>`;
}

function whitelist({ base, session, whitelist: entries, hasPortals }: SettingsScreen): Html {
  return html`<section class="card" aria-labelledby="whitelist"><h2 id="whitelist">Whitelist</h2>
<p>Addresses that may connect. While it is empty, all may.</p>
${
  hasPortals
    ? html`${
        entries.length === 0
          ? empty('Everybody may connect.')
          : html`<ul class="list">${entries.map(
              ({ ip, description }) =>
                html`<li><span><code>${ip}</code> ${description ?? ''}</span><form method="post" action="${base}/settings/whitelist/remove">${csrfField(session)}<input type="hidden" name="ip" value="${ip}"><button class="quiet" aria-label="Remove ${ip}">Remove</button></form></li>`,
            )}</ul>`
      }
<form method="post" action="${base}/settings/whitelist">${csrfField(session)}<div class="fields"><div><label for="ip">Address or network</label><input id="ip" name="ip" required maxlength="50" placeholder="203.0.113.0/24" autocomplete="off"></div><div><label for="description">Description</label><input id="description" name="description" maxlength="200" autocomplete="off"></div></div><button>Add</button></form>`
    : empty('Applications reach etcd directly here, so no portal can hold addresses off.')
}</section>`;
}

function passwords({ base, session, bindings, hasPortals, shownOnce }: SettingsScreen): Html {
  const { credentials, bindingId } = shownOnce;
  return html`<section class="card" aria-labelledby="passwords"><h2 id="passwords">Passwords</h2>
${credentials !== undefined && html`<div class="notice success" role="status"><p>The new credentials of <code>${bindingId}</code>. They are shown once; the platform does not know them.</p>${code(JSON.stringify(credentials, null, 2))}</div>`}
${hasPortals ? rotation(base, session, bindings) : empty('Applications reach etcd directly here. Bind again, and delete the binding whose password is to end.')}</section>`;
}

function rotation(base: string, session: Session, bindings: readonly BindingSummary[]): Html {
  if (bindings.length === 0) {
    return empty('There is no binding.');
  }
  return html`<p>When a password has leaked, replace it. The old one, its sessions and its API token end within a second. Applications get the new one from you: the platform keeps what it was told. To rotate without a break, bind again instead.</p>
<form method="post" action="${base}/settings/rotate">${csrfField(session)}
<label for="binding">Binding</label><select id="binding" name="binding_id">${bindings.map(
    ({ binding_id, app_guid, key_space }) =>
      html`<option value="${binding_id}">${binding_id}${app_guid !== undefined && `, application ${app_guid}`}, key space ${key_space}</option>`,
  )}</select>
<label class="check"><input type="checkbox" name="sure" value="yes" required> End the old password</label>
<button class="danger">Rotate the password</button></form>`;
}

function tokens({ base, session, tokens: known, shownOnce: { token } }: SettingsScreen): Html {
  return html`<section class="card" aria-labelledby="tokens"><h2 id="tokens">API tokens</h2>
<p>Bearer tokens of the administration API, for this instance.</p>
${token !== undefined && html`<div class="notice success" role="status"><p>The new token. It is shown once.</p>${code(token)}</div>`}
${
  known.length === 0
    ? empty('There are none.')
    : html`<ul class="list">${known.map(
        ({ id, description, created_at }) =>
          html`<li><span><code>${id}</code> ${description} <span class="hint">${moment(created_at)}</span></span><form method="post" action="${base}/settings/tokens/revoke">${csrfField(session)}<input type="hidden" name="id" value="${id}"><button class="quiet" aria-label="Revoke ${id}">Revoke</button></form></li>`,
      )}</ul>`
}
<form method="post" action="${base}/settings/tokens">${csrfField(session)}<label for="token-description">What it is for</label><div class="inline"><input id="token-description" name="description" maxlength="200" autocomplete="off"><button>Make a token</button></div></form></section>`;
}
