import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { SessionLost } from '../broker/errors.js';
import { ATTEMPT_TIMEOUT_MS, type EtcdClient, within } from '../etcd/client.js';
import { EtcdError, isEtcdError } from '../etcd/errors.js';
import { grantLease, keepAlive } from '../etcd/leases.js';
import { withTimeout } from '../timing.js';
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
  /** When etcd last said that the lease lives. */
  #heardAt = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #beats = new Set<Promise<unknown>>();

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
      await this.#begin();
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

  /**
   * Begins a session under a name and a lease of its own, so that several beats may try at the same time: the first that
   * comes through counts, and what the others have made is known to nobody and runs out.
   */
  async #begin(): Promise<void> {
    const id = newId();
    const startedAt = performance.now();
    // One attempt each: the next beat begins anew, with another member if this one hangs.
    const lease = await grantLease(this.connection, SESSION_TTL_SECONDS, within(ATTEMPT_TIMEOUT_MS));
    const about = JSON.stringify({ schema: 1, host: hostname(), pid: process.pid });
    await this.connection.kv.put(
      {
        key: Buffer.from(keys.owner(id)),
        value: Buffer.from(about),
        lease,
      },
      within(ATTEMPT_TIMEOUT_MS),
    );
    if (this.isAlive) {
      await this.#revoke(lease);
      return;
    }
    const before = this.#lease;
    this.#id = id;
    this.#lease = lease;
    this.#heardAt = performance.now();
    this.#aliveUntil = startedAt + SESSION_TTL_SECONDS * 1_000 - MARGIN_MS;
    this.log.info({ session: id }, 'A session with etcd has begun');
    if (before !== undefined) {
      // An election may have given it more time; what it owns is to be taken over now.
      await this.#revoke(before);
    }
  }

  async #revoke(lease: string): Promise<void> {
    try {
      await this.connection.lease.leaseRevoke({ ID: lease }, within(REVOKE_TIMEOUT_MS));
    } catch (error) {
      if (!isEtcdError(error, 'not-found')) {
        throw error;
      }
    }
  }

  #schedule(): void {
    this.#timer = setInterval(() => {
      // On a slow cluster several beats are under way at once, so that the session lives on nevertheless.
      if (this.#beats.size < MOST_BEATS) {
        const beat = withTimeout(this.#beat(), LONGEST_BEAT_MS).finally(() => this.#beats.delete(beat));
        this.#beats.add(beat);
      }
    }, BEAT_MS);
    this.#timer.unref();
  }

  async #beat(): Promise<void> {
    const lease = this.#lease;
    const startedAt = performance.now();
    try {
      // etcd keeps a sign of life for a lease that has run out waiting until it is revoked, which may take seconds.
      if (lease === undefined || startedAt - this.#heardAt > SESSION_TTL_SECONDS * 1_000) {
        await this.#begin();
        return;
      }
      const ttl = await keepAlive(this.connection, lease, within(ATTEMPT_TIMEOUT_MS));
      if (lease !== this.#lease) {
        return; // a beat of an earlier session
      }
      if (ttl > 0) {
        this.#heardAt = performance.now();
        this.#aliveUntil = Math.max(this.#aliveUntil, startedAt + ttl * 1_000 - MARGIN_MS);
        return;
      }
      this.log.warn({ session: this.#id }, 'The session with etcd ran out; its operations may be taken over');
      this.#lease = undefined;
      this.#aliveUntil = 0;
      this.#id = newId();
      await this.#begin();
    } catch (error) {
      // The next beat tries again. Until one succeeds, isAlive turns false by itself and no step is taken.
      this.log.warn({ session: this.#id, reason: (error as Error).message }, 'No sign of life reached etcd');
    }
  }
}

function newId(): string {
  return randomBytes(8).toString('hex');
}
