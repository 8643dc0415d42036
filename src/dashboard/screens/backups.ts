import type { BackupKind, BackupManifest } from '../../backups/manifest.js';
import { bytes, csrfField, empty, moment, number } from '../frame.js';
import { type Html, html } from '../html.js';
import type { Session } from '../session.js';
import { code } from './overview.js';

export interface BackupsScreen {
  base: string;
  session: Session;
  /** The newest first; absent where no backups are made. */
  backups?: readonly BackupManifest[];
  isUnderWay: boolean;
  instanceId: string;
}

const NAMES: Readonly<Record<BackupKind, string>> = {
  daily: 'Daily',
  weekly: 'Weekly',
  monthly: 'Monthly',
  on_demand: 'On demand',
  final: 'At the end',
  before_restore: 'Before a restore',
};

/** The backups by kind, with what can be done with them. */
export function backupsScreen({ base, session, backups, isUnderWay, instanceId }: BackupsScreen): Html {
  if (backups === undefined) {
    return html`<section class="card"><h1>Backups</h1>${empty('This service broker makes no backups. Its operator sets BACKUP_S3_URL or BACKUP_DIR.')}</section>`;
  }
  const mayManage = session.permission === 'manage';
  return html`<section class="card" aria-labelledby="backups"><div class="row"><h1 id="backups">Backups</h1>
${mayManage && html`<form method="post" action="${base}/backups">${csrfField(session)}<button class="primary"${isUnderWay && html` disabled`}>Back up now</button></form>`}</div>
${isUnderWay && html`<div class="measure" data-under-way><progress aria-label="A backup is being made"></progress><p class="hint">A backup is being made.</p></div>`}
${backups.length === 0 ? empty('There are none yet. The first is made within a day, or now.') : table(base, backups, mayManage)}
</section>
${backups[0] !== undefined && restoring(base, session, backups, instanceId)}`;
}

function table(base: string, backups: readonly BackupManifest[], mayManage: boolean): Html {
  return html`<div class="scroll" tabindex="0" role="region" aria-labelledby="backups"><table><thead><tr><th scope="col">Kind</th><th scope="col">Made</th><th scope="col">Keys</th><th scope="col">Size</th><th scope="col">Id</th>${mayManage && html`<th scope="col">Download</th>`}</tr></thead><tbody>
${backups.map(
  ({ kind, created_at, keys, size, backup_id }) =>
    html`<tr><td>${NAMES[kind]}</td><td>${moment(created_at)}</td><td>${number(keys)}</td><td>${bytes(size)}</td><td><code>${backup_id}</code></td>${mayManage && html`<td><a href="${base}/backups/${backup_id}/download" aria-label="Download the backup of ${created_at}">Download</a></td>`}</tr>`,
)}
</tbody></table></div>`;
}

function restoring(
  base: string,
  session: Session,
  backups: readonly BackupManifest[],
  instanceId: string,
): Html {
  const newest = backups[0]?.backup_id;
  const create = JSON.stringify({ source_service_instance_id: instanceId, backup_id: newest });
  return html`<section class="card" aria-labelledby="restore"><h2 id="restore">Restore</h2>
<p>Into a new instance, which is the safe way: applications stay where they are until you have looked at it.</p>
${code(`cf create-service compose-for-etcd Standard etcd-restore -c '${create}'`)}
${
  session.permission === 'manage' &&
  html`<details><summary>Over this instance</summary>
<p>All keys of the instance become what they were. What is there now is backed up first. Applications are held off meanwhile.</p>
<form method="post" action="${base}/backups/restore">${csrfField(session)}
<label for="backup_id">Backup</label><select id="backup_id" name="backup_id">${backups.map(({ backup_id, kind, created_at }) => html`<option value="${backup_id}">${NAMES[kind]}, ${created_at.slice(0, 16).replace('T', ' ')} UTC</option>`)}</select>
<label class="check"><input type="checkbox" name="sure" value="yes" required> Replace all keys of this instance</label>
<button class="danger">Restore over this instance</button></form>
${code(`cf update-service my-etcd -c '{"restore":{"backup_id":"${newest}"}}'`)}</details>`
}
</section>`;
}
