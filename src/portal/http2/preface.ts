import { ConnectionError, ErrorCode } from '../../http2/errors.js';
import { PREFACE } from '../../http2/frame-writers.js';

/** Checks that a connection begins with the preface of HTTP/2 (RFC 9113, section 3.4), byte by byte as it comes. */
export class PrefaceCheck {
  #left = PREFACE.length;

  /** Returns how many bytes of the chunk belong to the preface. @throws ConnectionError */
  take(chunk: Buffer): number {
    const length = Math.min(this.#left, chunk.length);
    const at = PREFACE.length - this.#left;
    if (length > 0 && chunk.compare(PREFACE, at, at + length, 0, length) !== 0) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'not the preface of HTTP/2');
    }
    this.#left -= length;
    return length;
  }
}
