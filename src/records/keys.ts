/**
 * Where the broker's records live. Ids from the platform are arbitrary text, so they enter a key only through
 * {@link encodeId}, which gives two different ids two different names and never a `/`.
 */
const ROOT = '/_broker/v1/';

const PLAIN = /^[A-Za-z0-9_-]+$/;

/** Keeps letters, digits, `_` and `-`; every other byte of the UTF-8 form becomes `%` and two hex digits. */
export function encodeId(id: string): string {
  if (PLAIN.test(id)) {
    return id;
  }
  let encoded = '';
  for (const byte of Buffer.from(id, 'utf8')) {
    const character = String.fromCharCode(byte);
    encoded += PLAIN.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}

/** Reads what {@link encodeId} has written. */
export function decodeId(encoded: string): string {
  return decodeURIComponent(encoded);
}

export const keys = {
  root: ROOT,
  instances: `${ROOT}instances/`,
  deployments: `${ROOT}deployments/`,
  bindings: `${ROOT}bindings/`,
  operations: `${ROOT}operations/`,
  open: `${ROOT}open/`,
  owners: `${ROOT}owners/`,
  allGone: `${ROOT}gone/`,
  probe: `${ROOT}probe`,
  clock: `${ROOT}clock`,
  /** A value that the encryption keys must open, see `KeyCheck`. */
  keyCheck: `${ROOT}key-check`,
  expiring: `${ROOT}expiring/`,
  applications: `${ROOT}applications/`,
  /** What portals keep; they may write here and nowhere else. */
  portal: `${ROOT}portal/`,
  portalFloors: `${ROOT}portal/floors/`,
  portalUsage: `${ROOT}portal/usage/`,
  portalScans: `${ROOT}portal/usage/scans/`,
  /** What portals saw minute by minute, before it is folded into series. */
  portalMinutes: `${ROOT}portal/minutes/`,
  series: `${ROOT}series/`,
  /** How far minutes are folded. */
  seriesFolded: `${ROOT}series/folded`,
  /** Who folds an hour, so that others do not. */
  seriesFolding: `${ROOT}series/folding`,

  instance: (instanceId: string) => `${ROOT}instances/${encodeId(instanceId)}`,
  /** Finds the instance of a deployment, for the dashboard. */
  deployment: (deploymentId: string) => `${keys.deployments}${encodeId(deploymentId)}`,
  bindingsOf: (instanceId: string) => `${ROOT}bindings/${encodeId(instanceId)}/`,
  binding: (instanceId: string, bindingId: string) =>
    `${ROOT}bindings/${encodeId(instanceId)}/${encodeId(bindingId)}`,
  operationsOf: (instanceId: string, bindingId?: string) =>
    bindingId === undefined
      ? `${ROOT}operations/instance/${encodeId(instanceId)}/`
      : `${ROOT}operations/binding/${encodeId(instanceId)}/${encodeId(bindingId)}/`,
  operationsOnBindingsOf: (instanceId: string) => `${ROOT}operations/binding/${encodeId(instanceId)}/`,
  operation: (instanceId: string, bindingId: string | undefined, operationId: string) =>
    `${keys.operationsOf(instanceId, bindingId)}${encodeId(operationId)}`,
  /** What is under way, so that a start finds it without reading every record. */
  openOperation: (operationId: string) => `${ROOT}open/${encodeId(operationId)}`,
  applicationsOf: (instanceId: string) => `${keys.applications}${encodeId(instanceId)}/`,
  /** Finds the bindings of one application to an instance. */
  application: (instanceId: string, appGuid: string) =>
    `${keys.applicationsOf(instanceId)}${encodeId(appGuid)}/`,
  applicationBinding: (instanceId: string, appGuid: string, bindingId: string) =>
    `${keys.application(instanceId, appGuid)}${encodeId(bindingId)}`,
  /** In the order of time, so that what is due comes first. */
  expiry: (dueMs: number, instanceId: string, bindingId: string) =>
    `${keys.expiringBefore(dueMs)}/${encodeId(instanceId)}/${encodeId(bindingId)}`,
  expiringBefore: (dueMs: number) => `${ROOT}expiring/${String(dueMs).padStart(16, '0')}`,
  /** Marks that a resource was told to be gone, see `RecordStore.markGone`. */
  gone: (instanceId: string, bindingId?: string) =>
    bindingId === undefined
      ? `${ROOT}gone/instance/${encodeId(instanceId)}`
      : `${ROOT}gone/binding/${encodeId(instanceId)}/${encodeId(bindingId)}`,
  /** Of all key spaces of a deployment. */
  portalFloorsOf: (deploymentId: string) => `${keys.portalFloors}${deploymentId}/`,
  /** @param minute since 1970 @param part a number for each portal and part of its instances */
  portalMinute: (minute: number, portal: string, part: number) =>
    `${keys.portalMinutesFrom(minute)}${portal}/${part}`,
  /** In the order of time. */
  portalMinutesFrom: (minute: number) => `${keys.portalMinutes}${String(minute).padStart(10, '0')}/`,
  /** How much one deployment used: by the minute for a day, by quarters of an hour for a month. */
  seriesOf: (deploymentId: string) => `${keys.series}${deploymentId}/`,
  seriesMinutes: (deploymentId: string, hour: number) =>
    `${keys.seriesOf(deploymentId)}m/${String(hour).padStart(8, '0')}`,
  seriesQuarters: (deploymentId: string, day: number) =>
    `${keys.seriesOf(deploymentId)}q/${String(day).padStart(8, '0')}`,
  portalScan: (deploymentId: string) => `${keys.portalScans}${deploymentId}`,
  /** Of the administration API. */
  apiTokensOf: (instanceId: string) => `${ROOT}api-tokens/${encodeId(instanceId)}/`,
  apiToken: (instanceId: string, hash: string) => `${keys.apiTokensOf(instanceId)}${hash}`,
  /** One-time links to the dashboard; under a lease. */
  dashboardLink: (hash: string) => `${ROOT}dashboard-links/${hash}`,
  /** What is known of backups whose manifest is in the store. */
  backupIndex: `${ROOT}backups/index/`,
  backupsOf: (instanceId: string) => `${keys.backupIndex}${encodeId(instanceId)}/`,
  backup: (instanceId: string, deploymentId: string, backupId: string) =>
    `${keys.backupsOf(instanceId)}${deploymentId}/${backupId}`,
  backupsUnderWay: `${ROOT}backups/under-way/`,
  backupUnderWay: (deploymentId: string) => `${ROOT}backups/under-way/${deploymentId}`,
  backupPlaces: `${ROOT}backups/places/`,
  /** Who has one holds up no other backup by more than a few at a time. */
  backupPlace: (number: number) => `${ROOT}backups/places/${number}`,
  owner: (session: string) => `${ROOT}owners/${encodeId(session)}`,
};
