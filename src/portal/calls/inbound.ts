/** A tenant's connection, whatever carries it (gRPC, the JSON gateway). */
export interface InboundConnection {
  /** The client's address. */
  readonly peer: string;
  /** A tenant has signed in on it. */
  signedIn(): void;
  /** Ends it, after what its calls were ended with. */
  close(reason: string): void;
}

/** One call of a tenant's. After `end`, or once its handlers were told of a cancellation, both sides are done with it. */
export interface InboundCall {
  /** Exactly as it came, e.g. `/etcdserverpb.KV/Range`. */
  readonly path: string;
  readonly token: string | undefined;
  /** How long the client waits for the answer, in milliseconds; undefined when it waits for ever. */
  readonly timeoutMs?: number | undefined;
  /** Sends one message, which is not changed afterwards. False when more waits than is good: go on after `onDrain`. */
  sendMessage(message: Buffer): boolean;
  /**
   * One message and OK: the whole answer of a unary call.
   * @param onGone is called once, when it has been written or is not wanted any more
   */
  answer(message: Buffer, onGone?: () => void): void;
  /** gRPC's status code and message; nothing may follow. */
  end(code: number, message: string): void;
  /** No more `onMessage` until {@link resume}, and no credit for the client to send. */
  pause(): void;
  resume(): void;
}

/** What is told of a call. Nothing is told after `end`. */
export interface InboundHandlers {
  /** The message stays valid after this returns. */
  onMessage(message: Buffer): void;
  /** The client sends no more messages. */
  onHalfClose(): void;
  /** The client gave up, its time is over, or its connection is gone. */
  onCancel(): void;
  /** After a `sendMessage` that returned false. */
  onDrain(): void;
}

/** What takes the calls of one connection. */
export interface ConnectionCalls {
  /** @returns undefined when the call was ended at once */
  accept(call: InboundCall): InboundHandlers | undefined;
  /** After the last of its calls was ended or cancelled. */
  closed(): void;
}
