import { encodeField, encodeLiteral } from '../../http2/hpack.js';
import { Status, TransportError } from './errors.js';

const MAX_CACHED = 1_000;
/** Frame and window limits leave more; a token of etcd has some dozens of bytes, a JWT some hundreds. */
const MAX_VALUE_BYTES = 8_192;
const VISIBLE_ASCII = /^[\x21-\x7e]+$/;

/**
 * The header blocks of requests. Paths and tokens repeat, so each part is encoded once and kept as bytes. Both caches
 * start anew when they are full.
 */
export class RequestHeaders {
  readonly #scheme: string;
  readonly #authority: string;
  readonly #byPath = new Map<string, Buffer>();
  readonly #byToken = new Map<string, Buffer>();

  constructor(scheme: 'http' | 'https', authority: string) {
    this.#scheme = scheme;
    this.#authority = authority;
  }

  /** All but the token. */
  ofPath(path: string): Buffer {
    return cached(this.#byPath, path, () =>
      Buffer.concat([
        encodeField(':method', 'POST'),
        encodeField(':scheme', this.#scheme),
        encodeField(':path', checked(path, 'path')),
        encodeField(':authority', this.#authority),
        encodeField('te', 'trailers'),
        encodeField('content-type', 'application/grpc'),
        encodeField('user-agent', 'grpc-node-compose-etcd-broker'),
      ]),
    );
  }

  /** The `token` metadata, in which etcd's clients send what Authenticate gave them. */
  ofToken(token: string): Buffer {
    return cached(this.#byToken, token, () => encodeLiteral('token', checked(token, 'token'), true));
  }
}

function cached(cache: Map<string, Buffer>, key: string, make: () => Buffer): Buffer {
  let bytes = cache.get(key);
  if (bytes === undefined) {
    bytes = make();
    if (cache.size >= MAX_CACHED) {
      cache.clear();
    }
    cache.set(key, bytes);
  }
  return bytes;
}

function checked(value: string, what: string): string {
  if (value.length > MAX_VALUE_BYTES || !VISIBLE_ASCII.test(value)) {
    throw new TransportError(Status.INTERNAL, `A ${what} that HTTP/2 can't carry`, 'not sent');
  }
  return value;
}
