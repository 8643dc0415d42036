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
  hasWhitelist: boolean;
  tokens: readonly ApiToken[];
  /** One that was made just now, which is shown once. */
  newToken?: string | undefined;
  etcdVersion: string;
}

/** What can be changed. Each section is a form of its own. */
export function settingsScreen(screen: SettingsScreen): Html {
  return html`<h1 class="visually-hidden">Settings</h1>${scale(screen)}${whitelist(screen)}${tokens(screen)}
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

function whitelist({ base, session, whitelist: entries, hasWhitelist }: SettingsScreen): Html {
  return html`<section class="card" aria-labelledby="whitelist"><h2 id="whitelist">Whitelist</h2>
<p>Addresses that may connect. While it is empty, all may.</p>
${
  hasWhitelist
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

function tokens({ base, session, tokens: known, newToken }: SettingsScreen): Html {
  return html`<section class="card" aria-labelledby="tokens"><h2 id="tokens">API tokens</h2>
<p>Bearer tokens of the administration API, for this instance.</p>
${newToken !== undefined && html`<div class="notice success" role="status"><p>The new token. It is shown once.</p>${code(newToken)}</div>`}
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
