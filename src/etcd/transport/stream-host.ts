/** What a stream needs of its connection. */
export interface StreamHost<Stream> {
  readonly maxMessageBytes: number;
  /** Sends a message, or queues it; false where it should rather wait. */
  send(stream: Stream, message: Uint8Array, end: boolean): boolean;
  sendEnd(stream: Stream): void;
  sendReset(stream: Stream, code: number): void;
  sendCredit(stream: Stream, bytes: number): void;
  /** Bytes that a paused stream holds, more or fewer. */
  held(bytes: number): void;
  finished(stream: Stream): void;
}
