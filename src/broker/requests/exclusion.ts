import type { BindingRecord, InstanceRecord } from '../model.js';

/**
 * What excludes what: how a request meets a record in each of its states.
 *
 * - `run`: nothing stands in the way.
 * - `compare`: the same request again gives the same answer, another one is a conflict.
 * - `join`: the same is under way; wait for its end.
 * - `turn`: the opposite is under way; its owner turns round.
 * - `refuse`: `ConcurrencyError`.
 *
 * Provision and update are one transaction each, unless a backup is restored, so nothing else finds an instance in the
 * middle of them. Binds
 * on one instance do not appear here as excluding each other: they run side by side.
 */
export type Meeting = 'run' | 'compare' | 'join' | 'turn' | 'refuse';

export const ON_INSTANCE = {
  provision: { ready: 'compare', restoring: 'compare', deprovisioning: 'refuse' },
  update: { ready: 'run', restoring: 'refuse', deprovisioning: 'refuse' },
  bind: { ready: 'run', restoring: 'refuse', deprovisioning: 'refuse' },
  deprovision: { ready: 'run', restoring: 'run', deprovisioning: 'join' },
} as const satisfies Record<string, Record<InstanceRecord['state'], Meeting>>;

export const ON_BINDING = {
  bind: { binding: 'compare', ready: 'compare', unbinding: 'refuse' },
  unbind: { binding: 'turn', ready: 'run', unbinding: 'join' },
} as const satisfies Record<string, Record<BindingRecord['state'], Meeting>>;
