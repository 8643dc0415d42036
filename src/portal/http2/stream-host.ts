/** Where a request's events go. Nothing is called after `onAbort`, nor after the answer was ended. */
export interface StreamHandlers {
  /**
   * Returns how many bytes it took: all, unless it called `pause`; the rest comes again after `resume`. The bytes are a
   * part of what was read from the socket: copy what is kept.
   */
  onData(data: Buffer): number;
  /** The request is whole. */
  onEnd(): void;
  /** The peer gave it up, or the connection has ended: nobody waits for an answer any more. */
  onAbort(reason: string): void;
  /** What was sent has left, after a `send` that returned false. */
  onDrain?(): void;
}

/** What a stream needs of its connection. */
export interface StreamHost<ServerStream> {
  /** The window that we announced for each stream. */
  readonly streamWindow: number;
  /** What a stream may have waiting before its writer should wait; less when the whole connection has much. */
  readonly highWaterBytes: number;
  sendHeaders(stream: ServerStream, block: Buffer, endStream: boolean): void;
  sendData(stream: ServerStream, prefix: Uint8Array | undefined, data: Uint8Array): void;
  sendEnd(stream: ServerStream): void;
  sendAnswer(
    stream: ServerStream,
    head: Buffer,
    prefix: Uint8Array,
    data: Uint8Array,
    trailers: Buffer,
  ): void;
  sendReset(stream: ServerStream, code: number): void;
  sendCredit(stream: ServerStream, bytes: number): void;
  sent(bytes: number): void;
  /** Bytes of unfinished requests, more or fewer. False where the connection had to end for them. */
  hold(bytes: number): boolean;
  /** Calls back, perhaps at once, when there is memory for a large request. */
  reserve(stream: ServerStream, bytes: number, granted: () => void): void;
  /** A request was begun, or is whole. */
  unfinished(stream: ServerStream, is: boolean): void;
  /** `whole`: neither side will send anything more on it. */
  closed(stream: ServerStream, whole: boolean): void;
}
