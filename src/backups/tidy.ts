import type { Backups } from './backups.js';
import { manifestName } from './manifest.js';

/** Longer than a backup takes: data without a manifest may be of one that is being made. */
const UNFINISHED_MS = 24 * 3_600_000;

/** What was found in the store and the index. */
export interface Tidied {
  /** Manifests in the store that the index did not have. */
  indexed: number;
  /** Data without a manifest, entries of the index without a backup, and unfinished writes. */
  removed: number;
}

/**
 * Brings the index and the store together: the manifest in the store is what counts.
 * @param olderThanMs what nobody has finished after so long is removed, in milliseconds
 * @throws StoreError, EtcdError
 */
export async function tidy(
  backups: Backups,
  stopping?: AbortSignal,
  olderThanMs = UNFINISHED_MS,
): Promise<Tidied> {
  const { store, records, log } = backups.parts;
  // The index first: what is deleted between the two looks is in neither, or is looked for again below.
  const indexed = new Map(
    (await backups.list()).map((one) => [manifestName(one.deployment_id, one.backup_id), one]),
  );
  const stored = new Map<string, number>();
  for await (const { name, at } of store.list('')) {
    stored.set(name, at);
  }
  const tidied: Tidied = { indexed: 0, removed: await store.sweep(olderThanMs) };
  for (const [name, at] of stored) {
    stopping?.throwIfAborted();
    const [deployment = '', backup = ''] = name.split(/[/.]/);
    const manifest = manifestName(deployment, backup);
    if (name === manifest && !indexed.has(name)) {
      try {
        await records.put(await backups.readManifest(deployment, backup));
        tidied.indexed += 1;
      } catch (error) {
        // Another broker's, or one whose key is gone: not ours to delete.
        log.warn({ name, reason: (error as Error).message }, 'A backup in the store could not be read');
      }
    } else if (name !== manifest && !stored.has(manifest) && at <= Date.now() - olderThanMs) {
      await store.delete(name);
      tidied.removed += 1;
    }
  }
  for (const [name, manifest] of indexed) {
    stopping?.throwIfAborted();
    if (!stored.has(name) && !(await isThere(backups, name))) {
      await records.remove(manifest);
      tidied.removed += 1;
    }
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
