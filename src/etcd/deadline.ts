import { EtcdError } from './errors.js';

/** When a call's time is up, with all its attempts: milliseconds since the epoch, as {@link within} counts them. */
export interface Deadline {
  deadline: number;
}

/**
 * A deadline for a call, so many milliseconds from now. It counts by the monotonic clock, so a wall clock that jumps
 * neither cuts calls short nor lets them hang.
 */
export function within(milliseconds: number): Deadline {
  return { deadline: performance.timeOrigin + performance.now() + milliseconds };
}

/** The same moment on the clock of `performance.now()`. */
export function endOf({ deadline }: Deadline): number {
  return deadline - performance.timeOrigin;
}

/**
 * Waits for something that comes before a call is sent, such as a connection or a token.
 * @param endAt on the clock of `performance.now()`
 * @throws EtcdError that says that the call was not sent, or what the promise is rejected with
 */
export function readyBefore<T>(endAt: number, ready: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const tooLate = () =>
      reject(new EtcdError('timeout', 'no endpoint of etcd was ready in time', { delivery: 'not sent' }));
    const timer = setTimeout(tooLate, Math.max(0, endAt - performance.now()));
    ready.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
