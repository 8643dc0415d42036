import type { Delivery } from './errors.js';

/** One call, seen from who makes it. Nothing happens on it after `onEnd`. */
export interface Call {
  /**
   * Sends one message, which must not be changed afterwards. False when more waits than is good: go on after
   * `onDrain`. A call with more than 64 MiB of several messages waiting is cancelled (RESOURCE_EXHAUSTED).
   */
  write(message: Uint8Array): boolean;
  /** No more messages from our side. */
  end(): void;
  /** Resets the stream. `onEnd` is called before this returns, with code 1 (CANCELLED). */
  cancel(): void;
  /** Holds messages back, but for a large one that has begun to come, and their flow-control credit: the server has to stop at the stream's window. */
  pause(): void;
  resume(): void;
}

export interface CallHandlers {
  /** The message stays valid after this returns. It may be a part of a larger buffer: copy what is kept for long. */
  onMessage(message: Buffer): void;
  /**
   * Whether a message that is larger than the stream's window may be put together now. Otherwise the call is paused
   * before it, and asks again after `resume`. Any may where this is not given.
   */
  admits?(bytes: number): boolean;
  /** Exactly once, after the last message; also after `cancel`. */
  onEnd(end: CallEnd): void;
  /** After a `write` that returned false. */
  onDrain?(): void;
}

export interface CallEnd {
  /** gRPC's status code. */
  code: number;
  message: string;
  delivery: Delivery;
}
