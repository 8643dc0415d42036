import type { ActiveTenants } from '../calls/active-tenant.js';
import type { GaugeCounts, PortalGauges } from '../limits/gauges.js';
import type { CallTime, CallTimes } from './call-times.js';
import type { Tallies } from './tallies.js';

/** So many instances, the busiest, are told by themselves; the others together. */
export const MOST_INSTANCES = 100;
/** What stands for the others in place of a deployment's id. */
export const OTHERS = 'other';

/** One instance at one portal. Bytes, and counts as of now or since the start. */
export interface InstanceSnapshot {
  readonly instance: string;
  requests: number;
  received: number;
  sent: number;
  connections: number;
  streams: number;
  stored: number;
  quota: number;
  history: number;
}

/** What a portal tells of itself: plain data, which can be sent between threads. No keys, no names of users. */
export interface PortalSnapshot {
  /** Of all kinds, those included on which nobody has signed in. */
  readonly connections: number;
  readonly held: GaugeCounts;
  readonly calls: readonly CallTime[];
  readonly refusals: readonly (readonly [limit: string, count: number])[];
  readonly instances: readonly InstanceSnapshot[];
  /** When its certificate expires, in milliseconds since 1970; undefined without TLS. */
  readonly certificateExpiry: number | undefined;
}

export interface SnapshotParts {
  readonly active: ActiveTenants;
  readonly gauges: PortalGauges;
  readonly times: CallTimes;
  readonly tallies: Tallies;
}

export function portalSnapshot(
  { active, gauges, times, tallies }: SnapshotParts,
  { connections, certificateExpiry }: Pick<PortalSnapshot, 'connections' | 'certificateExpiry'>,
): PortalSnapshot {
  return {
    connections,
    held: { ...gauges.counts },
    calls: times.snapshot(),
    refusals: [...gauges.refusals],
    instances: busiest(instances(active, tallies)),
    certificateExpiry,
  };
}

function instances(active: ActiveTenants, tallies: Tallies): Map<string, InstanceSnapshot> {
  const found = new Map<string, InstanceSnapshot>([[OTHERS, { ...nothing(OTHERS), ...tallies.others }]]);
  for (const [instance, tally] of tallies) {
    found.set(instance, { ...nothing(instance), ...tally });
  }
  for (const { tenant, gauges, bytes } of active) {
    const instance = tenant.instance.settings.deploymentId;
    const one = found.get(instance) ?? nothing(instance);
    found.set(instance, one);
    one.connections += gauges.counts.connections;
    one.streams += gauges.counts.streams;
    // The same for all bindings of the instance.
    one.stored = bytes.estimate;
    one.history = bytes.history;
    one.quota = bytes.quota;
  }
  return found;
}

/** The busiest by themselves, the rest as one. */
function busiest(found: Map<string, InstanceSnapshot>): InstanceSnapshot[] {
  const { [OTHERS]: others, ...own } = Object.fromEntries(found);
  const sorted = Object.values(own).sort((one, other) => other.requests - one.requests);
  const rest = others ?? nothing(OTHERS);
  for (const { instance: _, ...counts } of sorted.slice(MOST_INSTANCES)) {
    for (const [name, count] of Object.entries(counts) as [keyof typeof counts, number][]) {
      rest[name] += count;
    }
  }
  return [...sorted.slice(0, MOST_INSTANCES), rest];
}

function nothing(instance: string): InstanceSnapshot {
  return {
    instance,
    requests: 0,
    received: 0,
    sent: 0,
    connections: 0,
    streams: 0,
    stored: 0,
    quota: 0,
    history: 0,
  };
}
