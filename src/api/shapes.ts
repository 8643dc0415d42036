import type { BindingSummary } from '../administration/overview.js';
import type { BackupManifest } from '../backups/manifest.js';
import type { InstanceRecord, OperationRecord } from '../broker/model.js';
import { unitsOf } from '../broker/units.js';
import { deploymentName, type ServiceAddress } from '../credentials/available-credentials.js';

/**
 * The shapes of the Compose API, version 2016-07, in JSON-HAL.
 */

const UNIT_MB = (unitBytes: number) => Math.round(unitBytes / 2 ** 20);

/** @param base the address of the instance's part of the API */
export function deploymentShape(
  { deployment_id, instance_id, created_at }: InstanceRecord,
  service: ServiceAddress,
  version: string,
  base: string,
): object {
  const links = (name: string) => ({ href: `${base}/deployments/${deployment_id}/${name}` });
  const { endpoints, caCertificate } = service;
  return {
    id: deployment_id,
    name: deploymentName(service.region, instance_id),
    type: 'etcd',
    created_at,
    version,
    notes: '',
    ...(caCertificate === undefined
      ? {}
      : { ca_certificate_base64: Buffer.from(caCertificate, 'utf8').toString('base64') }),
    // Without a user: each binding has its own.
    connection_strings: {
      direct: [...endpoints],
      cli: [`ETCDCTL_API=3 etcdctl --endpoints=${endpoints.join(',')}`],
      maps: [],
    },
    provision_recipe_id: null,
    _links: {
      self: { href: `${base}/deployments/${deployment_id}` },
      scalings: links('scalings'),
      backups: links('backups'),
      recipes: links('recipes'),
      whitelist: links('whitelist'),
      versions: links('versions'),
    },
  };
}

/** @param storedBytes what portals counted last; undefined when none has */
export function scalingsShape(
  { parameters }: InstanceRecord,
  unitBytes: number,
  storedBytes: number | undefined,
): object {
  const unit = UNIT_MB(unitBytes);
  return {
    allocated_units: unitsOf(parameters),
    used_units: Math.ceil((storedBytes ?? 0) / unitBytes),
    starting_units: 1,
    minimum_units: 1,
    memory_per_unit_in_mb: unit,
    storage_per_unit_in_mb: unit,
    unit_size_in_mb: unit,
    unit_type: 'data',
  };
}

const STATUS = { 'in progress': 'running', succeeded: 'complete', failed: 'failed' } as const;

export function recipeShape(
  { id, kind, state, description, started_at, finished_at }: OperationRecord,
  deploymentId: string,
): object {
  const isOver = state !== 'in progress';
  return {
    id,
    template: `Recipes::Deployment::${kind[0]?.toUpperCase()}${kind.slice(1)}`,
    status: STATUS[state],
    status_detail: description,
    deployment_id: deploymentId,
    name: kind,
    created_at: started_at,
    updated_at: finished_at ?? started_at,
    operations_complete: isOver ? 1 : 0,
    operations_total: 1,
  };
}

const TYPES: Readonly<Record<BackupManifest['kind'], string>> = {
  daily: 'daily',
  weekly: 'weekly',
  monthly: 'monthly',
  on_demand: 'on_demand',
  final: 'on_demand',
  before_restore: 'on_demand',
};

export function backupShape(manifest: BackupManifest, base: string): object {
  const { backup_id, deployment_id, kind, created_at } = manifest;
  return {
    id: backup_id,
    deployment_id,
    name: `${deployment_id}_${created_at}`,
    type: TYPES[kind],
    status: 'complete',
    is_downloadable: true,
    is_restorable: true,
    created_at,
    download_link: `${base}/deployments/${deployment_id}/backups/${backup_id}/download`,
  };
}

/** A binding, without its secrets. */
export function bindingShape({ binding_id, ...others }: BindingSummary): object {
  return { id: binding_id, ...others };
}

/** One entry of the whitelist. @param ip as it was written, which names it */
export function whitelistShape({ ip, description = '' }: { ip: string; description?: string }): object {
  return { id: whitelistId(ip), ip, description };
}

export function whitelistId(ip: string): string {
  return Buffer.from(ip, 'utf8').toString('hex');
}
