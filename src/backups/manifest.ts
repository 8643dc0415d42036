import type { Seals } from '../broker/ports.js';
import { Secret } from '../credentials/secret.js';
import { BackupDamaged, type BackupHeader, type BackupTrailer } from './format/records.js';

/**
 * - `daily`, `weekly`, `monthly`: by the schedule
 * - `on_demand`: asked for
 * - `final`: right before the instance was deleted
 * - `before_restore`: right before another backup was restored over the instance
 */
export const BACKUP_KINDS = ['daily', 'weekly', 'monthly', 'on_demand', 'final', 'before_restore'] as const;
export type BackupKind = (typeof BACKUP_KINDS)[number];

/** Whose instance it is, which decides who may restore it. */
export interface BackupOwner {
  readonly organization_guid: string;
  readonly space_guid: string;
}

/** What is known of a backup. It exists when its manifest is in the store. */
export interface BackupManifest extends BackupHeader, BackupOwner, BackupTrailer {
  readonly kind: BackupKind;
  /** For which operation it was made, where it was for one. */
  readonly operation_id?: string;
  readonly finished_at: string;
  /** Of the data in the store, in bytes. */
  readonly size: number;
}

export const dataName = (deploymentId: string, backupId: string) => `${deploymentId}/${backupId}.data`;
export const manifestName = (deploymentId: string, backupId: string) =>
  `${deploymentId}/${backupId}.manifest`;

/** Whose file it is, of a name in the store. */
export function idsOf(name: string): { deploymentId: string; backupId: string } {
  const [deploymentId = '', backupId = ''] = name.split(/[/.]/);
  return { deploymentId, backupId };
}

export function sealManifest(manifest: BackupManifest, seals: Seals): Buffer {
  const { deployment_id, backup_id } = manifest;
  return Buffer.from(seals.seal(new Secret(JSON.stringify(manifest)), purposeOf(deployment_id, backup_id)));
}

/** @throws SealError, BackupDamaged */
export function openManifest(
  bytes: Buffer,
  { deploymentId, backupId }: { deploymentId: string; backupId: string },
  seals: Seals,
): BackupManifest {
  const text = seals.open(bytes.toString('latin1'), purposeOf(deploymentId, backupId)).reveal();
  const manifest = JSON.parse(text) as BackupManifest;
  if (manifest.format !== 1) {
    throw new BackupDamaged(
      `The backup has the format ${manifest.format}, which this release does not know.`,
    );
  }
  return manifest;
}

/** A manifest can't take another's place. */
function purposeOf(deploymentId: string, backupId: string): string {
  return `backup manifest ${deploymentId}/${backupId}`;
}
