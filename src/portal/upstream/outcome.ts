import { isEtcdError, toEtcdError } from '../../etcd/errors.js';
import type { CallEnd } from '../../etcd/transport/call.js';
import { type Status, statuses } from '../calls/status.js';

/**
 * What to do after a call that failed:
 * - `repeat`: etcd did not apply it, or it is a read;
 * - `sign in`: the token has run out; it was not applied either;
 * - a status: the tenant is told so.
 */
export type Next = 'repeat' | 'sign in' | Status;

/** @param isRead whether the call may be sent again although etcd may have carried it out */
export function nextAfter(end: CallEnd, isRead: boolean): Next {
  switch (end.delivery) {
    case 'not sent':
      return 'repeat';
    case 'unknown':
      // The transport's texts name etcd's address, which is no business of a tenant's.
      return isRead ? 'repeat' : statuses.connectionLost;
    case 'answered': {
      const { kind } = toEtcdError(end);
      if (kind === 'stale-auth') {
        return 'repeat';
      }
      return kind === 'signed-out' ? 'sign in' : end;
    }
  }
}

/** What the tenant is told when there is no time left to repeat a call. */
export function statusOfLast({ delivery }: CallEnd): Status {
  return delivery === 'unknown' ? statuses.connectionLost : statuses.notSent;
}

/** Whether a sign-in failed because the user is gone, or has another password. */
export function isWrongPassword(error: unknown): boolean {
  return isEtcdError(error, 'wrong-password');
}
