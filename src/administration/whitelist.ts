import type { WhitelistEntry } from '../addresses/whitelist.js';
import type { InstanceRecord } from '../broker/model.js';

export type { WhitelistEntry } from '../addresses/whitelist.js';

export function whitelistOf({ parameters }: Pick<InstanceRecord, 'parameters'>): WhitelistEntry[] {
  return Array.isArray(parameters.whitelist) ? (parameters.whitelist as WhitelistEntry[]) : [];
}
