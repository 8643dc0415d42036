import { randomBytes } from 'node:crypto';
import { Secret } from '../../credentials/secret.js';
import { ConcurrencyError, InvalidRequest, NotFound } from '../errors.js';
import type { BindingRecord, OperationRecord } from '../model.js';
import { finish, openOperation } from '../operations/operations.js';
import type { BrokerParts } from '../parts.js';
import { changesAllTheTime, MOST_ROUNDS } from './intent.js';

/** 192 bits, of characters that need no escape in an address. */
const PASSWORD_BYTES = 24;

export function newPassword(): Secret {
  return new Secret(randomBytes(PASSWORD_BYTES).toString('base64url'));
}

/**
 * Gives a binding another password. The old one is good for nothing from the moment on that portals see the record,
 * and what signed in with it is cut off. Only portals know the new one: etcd's user keeps the password that it has, so
 * this is one transaction and there is no moment without one that works.
 * @throws NotFound, InvalidRequest when it has expired, ConcurrencyError while it is being made or deleted
 */
export async function rotatePassword(
  { records, seals, session }: Pick<BrokerParts, 'records' | 'seals' | 'session'>,
  instanceId: string,
  bindingId: string,
): Promise<{ binding: BindingRecord; operation: OperationRecord }> {
  let stored = await records.readBinding(instanceId, bindingId);
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    if (stored === undefined) {
      throw new NotFound('There is no such service binding.');
    }
    const { value } = stored;
    if (value.state !== 'ready' || value.work !== undefined) {
      throw new ConcurrencyError();
    }
    if (value.expired) {
      throw new InvalidRequest('The binding has expired. Make another one.');
    }
    const place = { instance_id: instanceId, binding_id: bindingId };
    const operation = finish(openOperation('rotate', place, session.id), 'succeeded', 'password rotated');
    const next: BindingRecord = {
      ...value,
      sealed_password: seals.seal(newPassword(), value.username),
      sealed_etcd_password: value.sealed_etcd_password ?? value.sealed_password,
    };
    const result = await records.change({
      binding: { ...place, expected: stored, next },
      finished: [operation],
    });
    if (result.done) {
      return { binding: next, operation };
    }
    stored = result.binding;
  }
  throw changesAllTheTime('binding');
}
