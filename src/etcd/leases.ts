import { randomBytes } from 'node:crypto';
import type { ILeaseKeepAliveResponse } from 'etcd3';
import type { Deadline, EtcdClient } from './client.js';
import { isEtcdError } from './errors.js';

/**
 * Grants a lease under an id chosen on our side, so that a grant whose answer was lost is repeated and not made twice.
 * @param ttlSeconds etcd may give it more, never less
 * @param ID a decimal number; the same one again when it is not known whether an earlier call has granted it
 * @returns the lease's id
 * @throws EtcdError
 */
export async function grantLease(
  { lease }: Pick<EtcdClient, 'lease'>,
  ttlSeconds: number,
  options?: Deadline,
  ID = chooseLeaseId(),
): Promise<string> {
  try {
    await lease.leaseGrant({ TTL: ttlSeconds, ID }, options);
  } catch (error) {
    // An id at random out of 2^63 is nobody else's: an attempt before this one was applied and its answer lost.
    if (!isEtcdError(error, 'already-exists')) {
      throw error;
    }
  }
  return ID;
}

/**
 * Renews a lease once.
 * @returns for how many seconds it lives from now on; not above 0 when there is no such lease
 * @throws EtcdError
 */
export async function keepAlive(client: EtcdClient, lease: string, options?: Deadline): Promise<number> {
  // A stream on which one message is sent and one comes back is, on the wire, a plain call.
  const { TTL } = await client.exec<ILeaseKeepAliveResponse>(
    'Lease',
    'leaseKeepAlive',
    { ID: lease },
    options,
  );
  return Number(TTL);
}

/** A lease's id at random: a positive number of 63 bits, as etcd's own are, in decimal. */
export function chooseLeaseId(): string {
  const id = randomBytes(8).readBigUInt64BE() >> 1n;
  return String(id === 0n ? 1n : id);
}
