import { randomBytes } from 'node:crypto';
import type { ILeaseKeepAliveResponse } from 'etcd3';
import type { Deadline, EtcdClient } from './client.js';
import { isEtcdError } from './errors.js';

/**
 * Grants a lease under an id chosen here, so that a grant whose answer was lost is repeated and not made twice.
 * @param ttlSeconds etcd may give it more, never less
 * @returns the lease's id, a decimal number
 * @throws EtcdError
 */
export async function grantLease(
  client: EtcdClient,
  ttlSeconds: number,
  options?: Deadline,
): Promise<string> {
  const ID = newLeaseId();
  try {
    await client.lease.leaseGrant({ TTL: ttlSeconds, ID }, options);
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

/** A positive number of 63 bits, as etcd's own ids are. */
function newLeaseId(): string {
  const id = randomBytes(8).readBigUInt64BE() >> 1n;
  return String(id === 0n ? 1n : id);
}
