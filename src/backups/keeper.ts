import type { InstanceRecord, Stored } from '../broker/model.js';
import type { BrokerLog, OnMalformed } from '../broker/ports.js';
import { Periodic } from '../periodic.js';
import { BackupUnderWay } from './backup-records.js';
import type { Backups } from './backups.js';
import type { BackupManifest } from './manifest.js';
import { dueKind, outdated } from './schedule.js';
import { tidy } from './tidy.js';

/** How often a replica looks for what is due, in milliseconds. */
const LOOK_MS = 60_000;
/** How often the store is compared with the index, in milliseconds. */
const TIDY_MS = 6 * 3_600_000;

export interface KeeperParts {
  backups: Backups;
  records: { instances(onMalformed?: OnMalformed): AsyncIterable<Stored<InstanceRecord>> };
  /** Whether the instance's plan has backups. */
  hasBackups(instance: InstanceRecord): boolean;
  graceMs: number;
  log: BrokerLog;
  /** Is told of what the schedule came to, for metrics. */
  observe: (outcome: 'made' | 'failed' | 'removed') => void;
}

/**
 * Makes the backups that are due and removes those that have had their time. Every replica looks; who takes the
 * deployment's key in the records first does it, so nothing is kept of who is responsible.
 */
export class BackupKeeper {
  readonly #periodic: Periodic;
  #tidiedAt = Number.NEGATIVE_INFINITY;

  constructor(readonly parts: KeeperParts) {
    this.#periodic = new Periodic({
      what: 'Making the backups that are due',
      intervalMs: LOOK_MS,
      longestPauseMs: LOOK_MS,
      run: (stopping) => this.look(Date.now(), stopping),
      log: parts.log,
    });
  }

  start(): void {
    this.#periodic.start(Math.random() * LOOK_MS);
  }

  stop(): Promise<void> {
    return this.#periodic.stop();
  }

  /** Looks once. @param now by the wall clock, in milliseconds */
  async look(now: number, stopping?: AbortSignal): Promise<void> {
    const { backups, records, log } = this.parts;
    const byDeployment = new Map<string, BackupManifest[]>();
    for (const manifest of await backups.list()) {
      byDeployment.set(manifest.deployment_id, [
        ...(byDeployment.get(manifest.deployment_id) ?? []),
        manifest,
      ]);
    }
    const living = new Set<string>();
    let isWhole = true;
    const onMalformed: OnMalformed = () => {
      // Whose it is can't be told, so no instance counts as deleted.
      isWhole = false;
    };
    for await (const { value } of records.instances(onMalformed)) {
      living.add(value.deployment_id);
      const existing = byDeployment.get(value.deployment_id) ?? [];
      await this.#makeDue(value, existing, now, stopping);
      await this.#removeOld(outdated(existing, false, this.parts.graceMs, now), stopping);
    }
    if (isWhole) {
      for (const [deployment, existing] of byDeployment) {
        if (!living.has(deployment)) {
          await this.#removeOld(outdated(existing, true, this.parts.graceMs, now), stopping);
        }
      }
    }
    if (performance.now() - this.#tidiedAt > TIDY_MS) {
      this.#tidiedAt = performance.now();
      const { indexed, removed } = await tidy(backups, stopping);
      if (indexed + removed > 0) {
        log.info({ indexed, removed }, 'The store of backups was tidied');
      }
    }
  }

  async #makeDue(
    instance: InstanceRecord,
    existing: readonly BackupManifest[],
    now: number,
    stopping: AbortSignal | undefined,
  ): Promise<void> {
    const { backups, hasBackups, log, observe } = this.parts;
    stopping?.throwIfAborted();
    if (instance.state !== 'ready' || !hasBackups(instance)) {
      return;
    }
    const { deployment_id, instance_id, created_at } = instance;
    const due = (made: readonly BackupManifest[]) =>
      dueKind(
        deployment_id,
        made.filter((one) => one.deployment_id === deployment_id),
        Date.parse(created_at),
        now,
      );
    const kind = due(existing);
    if (kind === undefined) {
      return;
    }
    try {
      await backups.take(instance, kind, {
        ...(stopping && { signal: stopping }),
        // Another replica may have made it since the list was read.
        isWanted: async () => due(await backups.list(instance_id)) === kind,
      });
      observe('made');
    } catch (error) {
      stopping?.throwIfAborted();
      if (error instanceof BackupUnderWay) {
        return; // by another replica, which will have done it at the next look
      }
      // One instance that fails must not keep the others waiting.
      observe('failed');
      log.error(
        { deployment: deployment_id, kind, reason: (error as Error).message },
        'A backup failed; it is tried again',
      );
    }
  }

  async #removeOld(manifests: readonly BackupManifest[], stopping: AbortSignal | undefined): Promise<void> {
    const { backups, log, observe } = this.parts;
    for (const manifest of manifests) {
      stopping?.throwIfAborted();
      await backups.delete(manifest);
      observe('removed');
      const { deployment_id: deployment, backup_id: backup, kind } = manifest;
      log.info({ deployment, backup, kind }, 'A backup has had its time and was removed');
    }
  }
}
