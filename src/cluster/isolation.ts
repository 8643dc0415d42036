import type { CredentialsName } from '../credentials/available-credentials.js';

/**
 * The first version of each minor that has a fix, by etcd's advisories.
 * Nested transactions: GHSA "Nested etcd transactions bypass RBAC" (CVE-2026-33343), with CVE-2026-33413 for calls
 * without a password. Watches: "Watch API authorization bypass via open-ended range requests" (CVE-2026-73499).
 */
const NESTED_FIXED = ['3.4.42', '3.5.28', '3.6.9', '3.7.0'];
const WATCH_FIXED = ['3.5.33', '3.6.14', '3.7.1'];

const ALWAYS = 'in every version a tenant can fill the cluster and revoke leases of others';

/**
 * What does not keep the tenants of a cluster apart, in one sentence for operators; undefined when tenants can't reach
 * etcd itself.
 * @param version etcd's, e.g. `3.5.16`
 */
export function isolationGap(version: string, credentialsName: CredentialsName): string | undefined {
  if (credentialsName === 'portal') {
    return undefined;
  }
  const gaps: string[] = [];
  if (!isFixed(version, NESTED_FIXED)) {
    gaps.push(
      'whoever reaches its port can read and write every key, even without a password (nested transactions)',
    );
  }
  if (!isFixed(version, WATCH_FIXED)) {
    gaps.push("a tenant's watch can read the keys of others");
  }
  return `etcd ${version} alone does not keep tenants apart: ${[...gaps, ALWAYS].join('; ')}. Share this cluster only between applications that trust each other.`;
}

/** A minor that is newer than all that are listed has the fix from its first release on. */
function isFixed(version: string, firstFixed: readonly string[]): boolean {
  const [major, minor, patch] = numbers(version);
  const known = firstFixed.map(numbers);
  const same = known.find(([itsMajor, itsMinor]) => itsMajor === major && itsMinor === minor);
  if (same !== undefined) {
    return patch >= same[2];
  }
  return known.every(([itsMajor, itsMinor]) => major > itsMajor || (major === itsMajor && minor > itsMinor));
}

function numbers(version: string): [number, number, number] {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map((part) => Number.parseInt(part, 10) || 0);
  return [major, minor, patch];
}
