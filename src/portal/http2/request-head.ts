import type { HeaderField } from '../../http2/hpack.js';

/** The head of a request (RFC 9113, section 8.3.1). */
export interface RequestHead {
  readonly method: string;
  readonly scheme: string;
  /** `:authority`, or the `host` field where there is none. */
  readonly authority: string;
  readonly path: string;
  /** All but the pseudo-header fields, in order, as they came. Values are Latin-1. */
  readonly fields: readonly HeaderField[];
}

const PSEUDO = new Set([':method', ':scheme', ':authority', ':path']);
/** Fields that belong to a connection of HTTP/1 (section 8.2.2). */
const CONNECTION_SPECIFIC = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
]);
/** A token in lower case. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const BAD_VALUE = /[\0\r\n]/;

/** The first value of a field, by its lower-case name. */
export function fieldOf(head: RequestHead, name: string): string | undefined {
  return head.fields.find(([its]) => its === name)?.[1];
}

/** The head that a header block means, or why it is malformed. */
export function requestHead(block: readonly HeaderField[]): RequestHead | string {
  const pseudo = new Map<string, string>();
  const fields: HeaderField[] = [];
  for (const field of block) {
    const [name, value] = field;
    if (name.startsWith(':')) {
      if (fields.length > 0 || pseudo.has(name) || !PSEUDO.has(name) || BAD_VALUE.test(value)) {
        return 'a pseudo-header field that is unknown, late, wrong or there twice';
      }
      pseudo.set(name, value);
    } else if (malformed(name, value)) {
      return 'a header field that HTTP/2 does not allow';
    } else {
      fields.push(field);
    }
  }
  const method = pseudo.get(':method');
  const scheme = pseudo.get(':scheme');
  const path = pseudo.get(':path');
  if (!method || !scheme || !path || !(path.startsWith('/') || path === '*')) {
    return 'a request without :method, :scheme or :path'; // CONNECT too, which has no :path
  }
  const authority = pseudo.get(':authority') ?? fields.find(([name]) => name === 'host')?.[1] ?? '';
  return { method, scheme, authority, path, fields };
}

/** Why a block can't be trailers; undefined where it can. */
export function wrongTrailers(block: readonly HeaderField[]): string | undefined {
  return block.some(([name, value]) => name.startsWith(':') || malformed(name, value))
    ? 'trailers that HTTP/2 does not allow'
    : undefined;
}

function malformed(name: string, value: string): boolean {
  return (
    !NAME.test(name) ||
    BAD_VALUE.test(value) ||
    CONNECTION_SPECIFIC.has(name) ||
    (name === 'te' && value !== 'trailers')
  );
}
