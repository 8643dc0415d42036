import { type EtcdClient, within } from '../etcd/client.js';
import { EtcdError, type EtcdErrorKind } from '../etcd/errors.js';
import type { RecordStore } from '../records/record-store.js';
import type { Session } from '../records/session.js';

export interface Readiness {
  ready: boolean;
  /** One line a check: `ok`, or what is wrong. */
  checks: { etcd: string; records: string; alarms: string; session: string };
}

/** Anybody may ask, so etcd is asked once in this time at the most. */
const FRESH_MS = 500;
const TIMEOUT_MS = 3_000;

/** Whether this replica can do its work: etcd answers, records can be written, no alarm is raised. */
export class ReadinessCheck {
  #latest: Promise<Readiness> | undefined;
  #at = 0;

  constructor(
    readonly connection: EtcdClient,
    readonly records: RecordStore,
    readonly session: Session,
    readonly onResult: (ready: boolean) => void,
  ) {}

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
      said(this.records.probe(deadline()).then(() => 'ok')),
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
    this.onResult(ready);
    return { ready, checks };
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
