import { type EtcdClient, within } from '../etcd/client.js';
import { EtcdError, type EtcdErrorKind } from '../etcd/errors.js';
import type { RecordStore } from '../records/record-store.js';
import type { Session } from '../records/session.js';

export interface Readiness {
  ready: boolean;
  /** One line a check: `ok`, or what is wrong. */
  checks: { etcd: string; records: string; alarms: string; session: string };
  /** What does not keep tenants apart, if anything. It does not make a replica unready. */
  isolation?: string;
}

/** Anybody may ask, so etcd is asked once in this time at the most. */
const FRESH_MS = 500;
const TIMEOUT_MS = 3_000;
/** A write proves for so many milliseconds that records can be written: each one is a revision that etcd keeps. */
const PROVEN_MS = 15_000;

/** Whether this replica can do its work: etcd answers, records can be written, no alarm is raised. */
export class ReadinessCheck {
  #latest: Promise<Readiness> | undefined;
  #at = 0;
  #writtenAt = Number.NEGATIVE_INFINITY;

  constructor(
    readonly connection: Pick<EtcdClient, 'maintenance'>,
    readonly records: Pick<RecordStore, 'counts' | 'probe'>,
    readonly session: Pick<Session, 'isAlive'>,
    readonly onResult: (ready: boolean) => void,
    readonly isolation?: string,
  ) {}

  /** To be called when the broker has written a record, which spares a write of its own. */
  wrote(): void {
    this.#writtenAt = performance.now();
  }

  check(): Promise<Readiness> {
    if (this.#latest === undefined || performance.now() - this.#at > FRESH_MS) {
      this.#latest = this.#check().finally(() => {
        this.#at = performance.now();
      });
      this.#at = Number.POSITIVE_INFINITY; // one check at a time; the others wait for it
    }
    return this.#latest;
  }

  async #check(): Promise<Readiness> {
    const deadline = () => within(TIMEOUT_MS);
    const [etcd, records, alarms] = await Promise.all([
      said(this.records.counts(deadline()).then(() => 'ok')),
      said(this.#provesWriting(deadline())),
      said(
        this.connection.maintenance.alarm({}, deadline()).then((response) => {
          const names = new Set(response.alarms.map(({ alarm }) => String(alarm).toUpperCase()));
          return names.size === 0 ? 'ok' : `raised: ${[...names].join(', ')}`;
        }),
      ),
    ]);
    const session = this.session.isAlive ? 'ok' : 'no sign of life has reached etcd lately';
    const checks = { etcd, records, alarms, session };
    const ready = Object.values(checks).every((text) => text === 'ok');
    if (!ready) {
      this.#writtenAt = Number.NEGATIVE_INFINITY; // whatever it was, the next look proves all of it
    }
    this.onResult(ready);
    return { ready, checks, ...(this.isolation === undefined ? {} : { isolation: this.isolation }) };
  }

  async #provesWriting(options: { deadline: number }): Promise<string> {
    if (performance.now() - this.#writtenAt > PROVEN_MS) {
      await this.records.probe(options);
      this.wrote();
    }
    return 'ok';
  }
}

async function said(check: Promise<string>): Promise<string> {
  try {
    return await check;
  } catch (error) {
    // Anybody may ask, so etcd's own words, which name addresses, stay in the log of the calls.
    return error instanceof EtcdError ? REASONS[error.kind] : 'failed';
  }
}

const REASONS: { readonly [kind in EtcdErrorKind]: string } = {
  unavailable: 'etcd does not answer',
  timeout: 'etcd does not answer in time',
  'stale-auth': 'etcd refuses the call, since users change all the time',
  'signed-out': "etcd does not accept the broker's sign-in",
  'wrong-password': "etcd does not accept the broker's password",
  denied: "the broker's user may not do this",
  'no-space': 'etcd has no space left',
  'auth-not-enabled': 'authentication is off in etcd',
  'already-exists': 'failed',
  'not-found': 'failed',
  other: 'failed',
};
