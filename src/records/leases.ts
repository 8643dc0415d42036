import { randomBytes } from 'node:crypto';
import type { Connection } from '../cluster/connection.js';
import { EtcdError } from '../cluster/etcd-errors.js';

/** A lease's id, chosen by us: a positive number of 63 bits, as decimal text. */
export function chooseLeaseId(): string {
  const id = randomBytes(8).readBigUInt64BE() >> 1n;
  return String(id === 0n ? 1n : id);
}

/**
 * Grants a lease under an id that the caller has chosen, so that a call that is repeated after a lost answer makes
 * no second lease.
 * @returns the id
 * @throws EtcdError
 */
export async function grantLease(
  { lease }: Pick<Connection, 'lease'>,
  ttlSeconds: number,
  options?: { deadline: number },
  id = chooseLeaseId(),
): Promise<string> {
  try {
    await lease.leaseGrant({ TTL: ttlSeconds, ID: id }, options);
  } catch (error) {
    // An attempt whose answer was lost has granted it.
    if (!(error instanceof EtcdError && /lease already exists/.test(error.message))) {
      throw error;
    }
  }
  return id;
}
