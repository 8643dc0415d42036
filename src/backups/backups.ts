import { randomBytes } from 'node:crypto';
import type { ICompare } from 'etcd3';
import type { InstanceRecord } from '../broker/model.js';
import type { BrokerLog, Seals, StreamKeys } from '../broker/ports.js';
import type { TenantKeys } from '../cluster/tenant-keys.js';
import type { EtcdClient } from '../etcd/client.js';
import { type BackupRecords, BackupUnderWay, type Urgency } from './backup-records.js';
import { Cut, type CutProgress, HURRIED, PATIENT, RevisionCompacted } from './cut.js';
import { type Contents, contentsOf, Fill, sameName } from './fill.js';
import { readBackup } from './format/read.js';
import { BackupDamaged, type BackupHeader, type BackupRecord, type BackupTrailer } from './format/records.js';
import { backupBytes } from './format/write.js';
import {
  type BackupKind,
  type BackupManifest,
  dataName,
  idsOf,
  manifestName,
  openManifest,
  sealManifest,
} from './manifest.js';
import { readAhead } from './read-ahead.js';
import type { BackupStore } from './stores/store.js';

/** So often a backup begins again when etcd compacts the history that it reads. */
const MOST_CUTS = 5;
const URGENCY: Readonly<Record<BackupKind, Urgency>> = {
  daily: 'scheduled',
  weekly: 'scheduled',
  monthly: 'scheduled',
  on_demand: 'asked for',
  before_restore: 'asked for',
  final: 'last',
};

export interface BackupsParts {
  /** Takes answers of a page's length, see `cut.ts`. */
  client: EtcdClient;
  store: BackupStore;
  records: BackupRecords;
  seals: Seals & StreamKeys;
  tenantKeys: Pick<TenantKeys, 'count' | 'deleteAll'>;
  etcdVersion(): Promise<string>;
  log: BrokerLog;
}

export type BackedUp = Pick<
  InstanceRecord,
  'instance_id' | 'deployment_id' | 'service_id' | 'plan_id' | 'organization_guid' | 'space_guid'
>;

/** How far a backup or a restore is; for people. */
export type OnProgress = (progress: CutProgress) => void;

export interface TakeOptions {
  /** Gives it up. */
  signal?: AbortSignal;
  onProgress?: OnProgress;
  operationId?: string;
  /** Asked once nobody else can make one; without a yes none is made. */
  isWanted?: () => Promise<boolean>;
}

/** Makes backups of instances, finds them and restores them. */
export class Backups {
  constructor(readonly parts: BackupsParts) {}

  /**
   * Makes a backup, which is there wholly or not at all.
   * @throws BackupUnderWay, StoreError, EtcdError, and the signal's reason
   */
  async take(
    instance: BackedUp,
    kind: BackupKind,
    { signal, onProgress, operationId, isWanted = async () => true }: TakeOptions = {},
  ): Promise<BackupManifest> {
    const claim = await this.parts.records.claim(instance.deployment_id, URGENCY[kind]);
    if (claim === undefined) {
      throw new BackupUnderWay('Other backups are being made. Try again when they are there.');
    }
    try {
      if (!(await isWanted())) {
        throw new BackupUnderWay('It has been made meanwhile.');
      }
      const ended = signal === undefined ? claim.signal : AbortSignal.any([signal, claim.signal]);
      return await this.#take(
        instance,
        { kind, ...(operationId && { operation_id: operationId }) },
        ended,
        onProgress,
      );
    } finally {
      await claim.release();
    }
  }

  async #take(
    instance: BackedUp,
    why: Pick<BackupManifest, 'kind' | 'operation_id'>,
    signal: AbortSignal,
    onProgress: OnProgress | undefined,
  ): Promise<BackupManifest> {
    const { store, records, seals, log } = this.parts;
    const { deployment_id } = instance;
    const backup_id = newBackupId();
    const started = { created_at: new Date().toISOString(), etcd_version: await this.parts.etcdVersion() };
    for (let attempt = 1; ; attempt += 1) {
      const pace = URGENCY[why.kind] === 'scheduled' ? PATIENT : HURRIED;
      // The next try has to be quicker than etcd's compaction was.
      const restFactor = pace.restFactor / 4 ** (attempt - 1);
      const cut = new Cut(this.parts.client, deployment_id, signal, { ...pace, restFactor });
      const header = (): BackupHeader => ({
        format: 1,
        backup_id,
        deployment_id,
        instance_id: instance.instance_id,
        service_id: instance.service_id,
        plan_id: instance.plan_id,
        revision: cut.revision,
        ...started,
      });
      let trailer: BackupTrailer | undefined;
      const onEnd = (told: BackupTrailer) => {
        trailer = told;
      };
      try {
        const bytes = backupBytes(header, telling(cut, onProgress), seals, onEnd);
        const size = await store.write(dataName(deployment_id, backup_id), bytes, signal);
        const { organization_guid, space_guid } = instance;
        const manifest: BackupManifest = {
          ...header(),
          ...(trailer as unknown as BackupTrailer),
          ...why,
          organization_guid,
          space_guid,
          finished_at: new Date().toISOString(),
          size,
        };
        await store.write(
          manifestName(deployment_id, backup_id),
          from(sealManifest(manifest, seals)),
          signal,
        );
        await this.#index(records.put(manifest));
        log.info(
          { deployment: deployment_id, backup: backup_id, kind: why.kind, keys: manifest.keys },
          'A backup was made',
        );
        return manifest;
      } catch (error) {
        await this.#deleteFiles(deployment_id, backup_id).catch(() => undefined); // tidied later
        if (!(error instanceof RevisionCompacted) || attempt >= MOST_CUTS) {
          throw error;
        }
      }
    }
  }

  /** The manifest in the store is what counts: the index follows at the next comparison, should it fail now. */
  async #index(change: Promise<void>): Promise<void> {
    await change.catch((error: unknown) => {
      this.parts.log.warn({ reason: (error as Error).message }, 'A backup is there and not in the index yet');
    });
  }

  /** Those of an instance, the newest first, also of one that is deleted. */
  async list(instanceId?: string): Promise<BackupManifest[]> {
    const found: BackupManifest[] = [];
    for await (const manifest of this.parts.records.list(instanceId)) {
      found.push(manifest);
    }
    return found.sort((one, other) => other.created_at.localeCompare(one.created_at));
  }

  /** @param backupId `latest` for the newest one */
  async find(instanceId: string, backupId: string): Promise<BackupManifest | undefined> {
    const all = await this.list(instanceId);
    return backupId === 'latest' ? all[0] : all.find(({ backup_id }) => backup_id === backupId);
  }

  /** Whether the last backup of a deployment that is being deleted is in the store. */
  async hasFinal(deploymentId: string): Promise<boolean> {
    for await (const { name } of this.parts.store.list(`${deploymentId}/`)) {
      const { backupId } = idsOf(name);
      if (name === manifestName(deploymentId, backupId)) {
        const { kind } = await this.readManifest(deploymentId, backupId);
        if (kind === 'final') {
          return true;
        }
      }
    }
    return false;
  }

  async delete(manifest: Pick<BackupManifest, 'instance_id' | 'deployment_id' | 'backup_id'>): Promise<void> {
    await this.#deleteFiles(manifest.deployment_id, manifest.backup_id);
    await this.parts.records.remove(manifest);
  }

  /** The manifest goes first, also one whose writing failed and may have come through: what has none is no backup. */
  async #deleteFiles(deploymentId: string, backupId: string): Promise<void> {
    const { store } = this.parts;
    await store.delete(manifestName(deploymentId, backupId));
    await store.delete(dataName(deploymentId, backupId));
  }

  /**
   * Reads a backup to its end, which proves that it is whole and what was written.
   * @throws BackupDamaged, SealError, StoreError
   */
  async read(
    { deployment_id, backup_id }: Pick<BackupManifest, 'deployment_id' | 'backup_id'>,
    onRecords: (records: readonly BackupRecord[]) => Promise<void> = async () => undefined,
  ): Promise<BackupTrailer> {
    const { store, seals } = this.parts;
    return readBackup(store.read(dataName(deployment_id, backup_id)), seals, {
      header: (header) => assertIs(header, deployment_id, backup_id),
      records: onRecords,
    });
  }

  /** What the store's own manifest says. @throws BackupDamaged, SealError, StoreError */
  async readManifest(deploymentId: string, backupId: string): Promise<BackupManifest> {
    const { store, seals } = this.parts;
    const parts: Uint8Array[] = [];
    for await (const part of store.read(manifestName(deploymentId, backupId))) {
      parts.push(part);
    }
    return openManifest(Buffer.concat(parts), { deploymentId, backupId }, seals);
  }

  /**
   * Makes a deployment hold what a backup does, and nothing else. It begins anew where an earlier try has ended.
   * @param before called before each change; throws to stop
   * @param guard each change finds this to be so, or is none
   * @throws BackupDamaged, SealError, StoreError, EtcdError, Overtaken
   */
  async restore(
    source: Pick<BackupManifest, 'deployment_id' | 'backup_id' | 'keys'>,
    deploymentId: string,
    before: () => void,
    {
      guard = [],
      onProgress = () => undefined,
    }: { guard?: readonly ICompare[]; onProgress?: OnProgress } = {},
  ): Promise<void> {
    const { client, tenantKeys } = this.parts;
    await tenantKeys.deleteAll(deploymentId, before, guard);
    // A key space comes back under its own name where it was, and under one that can be asked for elsewhere.
    const nameOf = source.deployment_id === deploymentId ? sameName : restoredName;
    const fill = new Fill(client, deploymentId, before, guard, nameOf);
    try {
      await this.read(source, async (records) => {
        await fill.add(records);
        onProgress({ keys: fill.keys, of: source.keys });
      });
      await fill.end();
    } finally {
      // What is on its way must not come after what others do then.
      await fill.settle();
    }
    assertSame(fill.contents, await contentsOf(readAhead(new Cut(client, deploymentId).pages())));
  }
}

/**
 * The name under which a binding's own key space comes back in another instance: its own can't be asked for.
 * `_0123456789abcdef` becomes `restored-0123456789abcdef`.
 */
export function restoredName(name: string): string {
  return name.startsWith('_') ? `restored-${name.slice(1)}` : name;
}

export function newBackupId(): string {
  return randomBytes(12).toString('hex');
}

function assertIs(header: BackupHeader, deploymentId: string, backupId: string): void {
  if (header.deployment_id !== deploymentId || header.backup_id !== backupId) {
    throw new BackupDamaged('This is another backup than its name says.');
  }
}

function assertSame(filled: Contents, found: Contents): void {
  const [one, other] = [filled.sum(), found.sum()];
  if (one.keys !== other.keys || one.sha256 !== other.sha256) {
    throw new Error(`${other.keys} keys were found after ${one.keys} had been restored, or they differ.`);
  }
}

async function* telling(
  cut: Cut,
  onProgress: OnProgress | undefined,
): AsyncGenerator<Iterable<BackupRecord>> {
  for await (const records of cut.pages()) {
    onProgress?.(cut.progress);
    yield records;
  }
}

async function* from(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}
