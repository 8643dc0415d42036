import type { Backups } from './backups.js';
import { type BackupManifest, dataName, idsOf, manifestName } from './manifest.js';

/** Longer than a backup takes: data without a manifest may be of one that is being made. */
const UNFINISHED_MS = 24 * 3_600_000;

/** Where the store and the index do not agree. */
export interface Untidy {
  /** Manifests in the store that the index does not have. */
  unknown: string[];
  /** Entries of the index without a whole backup in the store. */
  missing: BackupManifest[];
  /** Data without a manifest, which nobody has finished for long; and the other way round. */
  unfinished: string[];
}

/** What was done about it. */
export interface Tidied {
  indexed: number;
  /** Unfinished writes of the store included. */
  removed: number;
}

/**
 * Compares the index with the store: the manifest in the store is what counts.
 * @param olderThanMs for how long nobody must have finished what counts as unfinished, in milliseconds
 * @throws StoreError, EtcdError
 */
export async function compareStore(backups: Backups, olderThanMs = UNFINISHED_MS): Promise<Untidy> {
  const { store } = backups.parts;
  // The index first: what is deleted between the two looks is in neither, or is looked for again below.
  const indexed = new Map(
    (await backups.list()).map((one) => [manifestName(one.deployment_id, one.backup_id), one]),
  );
  const stored = new Map<string, number>();
  for await (const { name, at } of store.list('')) {
    stored.set(name, at);
  }
  const untidy: Untidy = { unknown: [], missing: [], unfinished: [] };
  const has = async (name: string) => stored.has(name) || (await isThere(backups, name));
  for (const [name, at] of stored) {
    const { deploymentId, backupId } = idsOf(name);
    const [manifest, data] = [manifestName(deploymentId, backupId), dataName(deploymentId, backupId)];
    if (await has(name === manifest ? data : manifest)) {
      if (name === manifest && !indexed.has(name)) {
        untidy.unknown.push(name);
      }
    } else if (at <= Date.now() - olderThanMs) {
      untidy.unfinished.push(name);
    }
  }
  for (const [name, manifest] of indexed) {
    if (!(await has(name)) || !(await has(dataName(manifest.deployment_id, manifest.backup_id)))) {
      untidy.missing.push(manifest);
    }
  }
  if (untidy.unknown.length > 0) {
    // Some may have been made since the index was read.
    const now = new Set((await backups.list()).map((one) => manifestName(one.deployment_id, one.backup_id)));
    untidy.unknown = untidy.unknown.filter((name) => !now.has(name));
  }
  return untidy;
}

/**
 * Brings the index and the store together.
 * @throws StoreError, EtcdError
 */
export async function tidy(
  backups: Backups,
  stopping?: AbortSignal,
  olderThanMs = UNFINISHED_MS,
): Promise<Tidied> {
  const { store, records, log } = backups.parts;
  const tidied: Tidied = { indexed: 0, removed: await store.sweep(olderThanMs) };
  const { unknown, missing, unfinished } = await compareStore(backups, olderThanMs);
  for (const name of unknown) {
    stopping?.throwIfAborted();
    const { deploymentId, backupId } = idsOf(name);
    try {
      await records.put(await backups.readManifest(deploymentId, backupId));
      tidied.indexed += 1;
    } catch (error) {
      // Another broker's, or one whose key is gone: not ours to delete.
      log.warn({ name, reason: (error as Error).message }, 'A backup in the store could not be read');
    }
  }
  for (const name of unfinished) {
    stopping?.throwIfAborted();
    await store.delete(name);
    tidied.removed += 1;
  }
  for (const manifest of missing) {
    stopping?.throwIfAborted();
    await records.remove(manifest);
    tidied.removed += 1;
  }
  return tidied;
}

/** It may have been written after the store was listed. */
async function isThere({ parts: { store } }: Backups, name: string): Promise<boolean> {
  for await (const found of store.list(name)) {
    if (found.name === name) {
      return true;
    }
  }
  return false;
}
