import { keys } from '../../records/keys.js';
import type { FeedEntry } from '../tenants/feed.js';
import type { Scan, Share } from './stored-bytes.js';

/**
 * What portals tell each other of stored bytes, in small records below `/_broker/v1/portal/usage/`:
 *
 * - `scans/<deployment>`: the last scan. Only what is written here counts, at the portal that scanned too, so that the
 *   record is older than any share that begins with it.
 * - `shares/<portal>/<deployment>`: what went through one portal since; under that portal's lease.
 */
export const USAGE = keys.portalUsage;

export const usageKeys = {
  scan: keys.portalScan,
  share: (portal: string, deployment: string) => `${USAGE}shares/${portal}/${deployment}`,
};

export type UsageRecord =
  | { kind: 'scan'; deployment: string; scan: Scan }
  | { kind: 'share'; deployment: string; portal: string; share: Share };

export type UsageName =
  | { kind: 'scan'; deployment: string }
  | { kind: 'share'; deployment: string; portal: string };

const NAME = /^(?:scans|shares\/([A-Za-z0-9_-]{1,64}))\/([0-9a-f]{24})$/;

/** What a key is about; undefined when it is none of these. */
export function readUsageName(key: string): UsageName | undefined {
  const [, portal, deployment] = (key.startsWith(USAGE) && NAME.exec(key.slice(USAGE.length))) || [];
  if (deployment === undefined) {
    return undefined;
  }
  return portal === undefined ? { kind: 'scan', deployment } : { kind: 'share', deployment, portal };
}

/** @returns undefined when the record is not one that a portal wrote */
export function readUsage({ key, value, modRevision }: FeedEntry): UsageRecord | undefined {
  const name = readUsageName(key);
  const match = /^(\d{1,15}) (\d{1,15})$/.exec(value.toString('latin1'));
  if (name === undefined || match === null) {
    return undefined;
  }
  const [first, second] = [Number(match[1]), Number(match[2])];
  return name.kind === 'scan'
    ? { ...name, scan: { revision: first, bytes: second } }
    : { ...name, share: { added: first, written: second, revision: modRevision } };
}

export function writeScan({ revision, bytes }: Scan): Buffer {
  return Buffer.from(`${revision} ${bytes}`, 'latin1');
}

export function writeShare({ added, written }: Omit<Share, 'revision'>): Buffer {
  return Buffer.from(`${added} ${written}`, 'latin1');
}
