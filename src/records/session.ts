import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { SessionLost } from '../broker/errors.js';
import { ATTEMPT_TIMEOUT_MS, type EtcdClient, within } from '../etcd/client.js';
import { EtcdError } from '../etcd/errors.js';
import { grantLease, keepAlive } from '../etcd/leases.js';
import { keys } from './keys.js';

/** After how many seconds without a sign of life a replica's work is taken over. */
export const SESSION_TTL_SECONDS = 5;
const BEAT_MS = 1_250;
const MOST_BEATS = 4;
/**
 * A beat that takes longer (it may have to sign in first, at a member that hangs) does not count any more, so that
 * there is always room for the next.
 */
const LONGEST_BEAT_MS = ATTEMPT_TIMEOUT_MS;
const REVOKE_TIMEOUT_MS = 2_000;
/** A replica stops acting this much before others may take over, since their clocks do not start together. */
const MARGIN_MS = 1_000;

export interface SessionLog {
  warn(details: object, message: string): void;
  info(details: object, message: string): void;
}

/**
 * This replica's sign of life: a key in etcd under a lease.
 *
 * While the key exists, nobody else touches the operations that carry its name. When the replica dies, the lease
 * runs out within {@link SESSION_TTL_SECONDS} and any replica takes over. Time is measured by etcd's leases and
 * by this process's monotonic clock, never by the wall clock.
 */
export class Session {
  #id = newId();
  #lease: string | undefined;
  /** On the monotonic clock: until when the lease is known to live. */
  #aliveUntil = 0;
  #timer: NodeJS.Timeout | undefined;
  #granting: Promise<void> | undefined;
  readonly #beats = new Set<Promise<void>>();

  constructor(
    readonly connection: EtcdClient,
    readonly log: SessionLog,
  ) {}

  /** Names this replica in records. Changes when the lease was lost, for what was owned then may be another's now. */
  get id(): string {
    return this.#id;
  }

  /** Whether the lease surely lives at this moment. */
  get isAlive(): boolean {
    return performance.now() < this.#aliveUntil;
  }

  /**
   * Begins the session. When etcd has no space left it can't begin; the broker starts all the same, since deleting
   * is possible and wanted then, and each beat tries again.
   * @throws EtcdError when no lease can be had for another reason
   */
  async start(): Promise<void> {
    try {
      await this.#renew();
    } catch (error) {
      if (!(error instanceof EtcdError && error.kind === 'no-space')) {
        throw error;
      }
      this.log.warn({}, 'etcd has no space left: until there is room again, nothing can be created');
    }
    this.#schedule();
  }

  /** Ends the lease, so that others take over what is left without waiting. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#beats);
    const lease = this.#lease;
    this.#aliveUntil = 0;
    if (lease !== undefined) {
      await this.connection.lease.leaseRevoke({ ID: lease }, within(REVOKE_TIMEOUT_MS));
    }
  }

  /**
   * To be called before each step that changes something, with the id under which the work was taken.
   * @throws SessionLost when the work may be another's by now
   */
  assertOwns(owner: string): void {
    if (owner !== this.#id || !this.isAlive) {
      throw new SessionLost();
    }
  }

  async #grant(): Promise<void> {
    const startedAt = performance.now();
    // One attempt each: the next beat begins anew, with another member if this one hangs.
    const lease = await grantLease(this.connection, SESSION_TTL_SECONDS, within(ATTEMPT_TIMEOUT_MS));
    const about = JSON.stringify({ schema: 1, host: hostname(), pid: process.pid });
    await this.connection.kv.put(
      {
        key: Buffer.from(keys.owner(this.#id)),
        value: Buffer.from(about),
        lease,
      },
      within(ATTEMPT_TIMEOUT_MS),
    );
    this.#lease = lease;
    this.#aliveUntil = startedAt + SESSION_TTL_SECONDS * 1_000 - MARGIN_MS;
    this.log.info({ session: this.#id }, 'A session with etcd has begun');
  }

  #schedule(): void {
    this.#timer = setInterval(() => {
      // On a slow cluster several beats are under way at once, so that the session lives on nevertheless.
      if (this.#beats.size < MOST_BEATS) {
        const beat = Promise.race([this.#beat(), sleep(LONGEST_BEAT_MS, undefined, { ref: false })]).finally(
          () => this.#beats.delete(beat),
        );
        this.#beats.add(beat);
      }
    }, BEAT_MS);
    this.#timer.unref();
  }

  async #beat(): Promise<void> {
    const lease = this.#lease;
    const startedAt = performance.now();
    try {
      if (lease === undefined) {
        await this.#renew();
        return;
      }
      const ttl = await keepAlive(this.connection, lease, within(ATTEMPT_TIMEOUT_MS));
      if (lease !== this.#lease) {
        return; // a beat of an earlier session
      }
      if (ttl > 0) {
        this.#aliveUntil = Math.max(this.#aliveUntil, startedAt + ttl * 1_000 - MARGIN_MS);
        return;
      }
      this.log.warn({ session: this.#id }, 'The session with etcd ran out; its operations may be taken over');
      this.#lease = undefined;
      this.#aliveUntil = 0;
      this.#id = newId();
      await this.#renew();
    } catch (error) {
      // The next beat tries again. Until one succeeds, isAlive turns false by itself and no step is taken.
      this.log.warn({ session: this.#id, reason: (error as Error).message }, 'No sign of life reached etcd');
    }
  }

  /** Begins a session, unless another beat is just doing so. */
  async #renew(): Promise<void> {
    this.#granting ??= this.#grant().finally(() => {
      this.#granting = undefined;
    });
    await this.#granting;
  }
}

function newId(): string {
  return randomBytes(8).toString('hex');
}
