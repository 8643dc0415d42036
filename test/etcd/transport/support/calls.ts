import { performance } from 'node:perf_hooks';
import type { Call, CallEnd, CallHandlers, Connection } from '../../../../src/etcd/transport/connection.js';
import { TransportError } from '../../../../src/etcd/transport/errors.js';

/** A deadline that a test does not reach. */
export const later = () => ({ deadline: performance.now() + 20_000 });

export interface Started {
  call: Call;
  messages: Buffer[];
  ends: CallEnd[];
  ended: Promise<CallEnd>;
  /** Resolves when so many messages have come. */
  received(count: number): Promise<void>;
  /** Resolves at the next `onDrain`. */
  drained(): Promise<void>;
}

/** Starts a call that notes what comes. */
export function start(connection: Connection, admits?: CallHandlers['admits']): Started {
  const messages: Buffer[] = [];
  const ends: CallEnd[] = [];
  const waiters = new Set<() => void>();
  let onDrain = () => {};
  let onEnded: (end: CallEnd) => void;
  const ended = new Promise<CallEnd>((resolve) => {
    onEnded = resolve;
  });
  const call = connection.call('/test/Stream', undefined, {
    onMessage(message) {
      messages.push(message);
      for (const waiter of waiters) {
        waiter();
      }
    },
    onEnd(end) {
      ends.push(end);
      onEnded(end);
    },
    onDrain: () => onDrain(),
    ...(admits && { admits }),
  });
  return {
    call,
    messages,
    ends,
    ended,
    received: (count) =>
      new Promise((resolve) => {
        const look = () => {
          if (messages.length >= count) {
            waiters.delete(look);
            resolve();
          }
        };
        waiters.add(look);
        look();
      }),
    drained: () =>
      new Promise((resolve) => {
        onDrain = resolve;
      }),
  };
}

/** How a call failed, as `code delivery`. */
export async function failureOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    if (error instanceof TransportError) {
      return `${error.code} ${error.delivery}`;
    }
    throw error;
  }
  return 'no failure';
}
