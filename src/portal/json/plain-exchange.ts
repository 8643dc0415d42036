import type { RequestHead } from '../http2/request-head.js';

/** A plain HTTP request, whole, and its answer, over HTTP/1.1 or HTTP/2. */
export interface PlainExchange {
  readonly request: RequestHead;
  /** Valid until it has been served, which is in the same turn. */
  readonly body: Buffer;
  /** Nobody waits for the answer any more. */
  onCancel: ((reason: string) => void) | undefined;
  /** After a `write` that returned false. */
  onWritable: (() => void) | undefined;
  /** The whole answer. Names of header fields are in lower case. */
  respond(status: number, headers: Readonly<Record<string, string>>, body?: Uint8Array | string): void;
  /** The head of an answer that is written piece by piece. */
  respondStream(status: number, headers: Readonly<Record<string, string>>): void;
  /** False when more waits than is good: go on after `onWritable`. */
  write(data: Uint8Array | string): boolean;
  end(): void;
  /** @param onReleased is called once, when the answer has been written or is not wanted any more */
  whenReleased(onReleased: (() => void) | undefined): void;
}

/** 2 MiB as for gRPC, in base64, and what stands around it. */
export const MAX_BODY_BYTES = 3 * 1024 * 1024;
