import type { IKeyValue, IRangeRequest, IRangeResponse } from 'etcd3';

/** The keys from `key` up to `range_end`, which is not among them. */
export interface KeyRange {
  key: Buffer;
  range_end: Buffer;
}

/** The end of the range that holds every key with this prefix; `\0`, which is "to the end", when there is none. */
export function prefixEnd(prefix: string | Uint8Array): Buffer {
  const end = Buffer.from(prefix as string);
  for (let index = end.length - 1; index >= 0; index -= 1) {
    const byte = end[index] as number;
    if (byte < 0xff) {
      end[index] = byte + 1;
      return end.subarray(0, index + 1);
    }
  }
  return Buffer.from([0]);
}

/** The range of all keys with this prefix. */
export function rangeOfPrefix(prefix: string | Uint8Array): KeyRange {
  return { key: Buffer.from(prefix as string), range_end: prefixEnd(prefix) };
}

/** The first key that can come after a key. */
export function keyAfter(key: Uint8Array): Buffer {
  return Buffer.concat([key, Buffer.from([0])]);
}

/** What reads a range, such as the `kv` of a client. */
export interface RangeReader {
  range(request: IRangeRequest): Promise<IRangeResponse>;
}

/**
 * Reads a range a page at a time, all of it as it was at the revision of the first page.
 * @param page keys in one answer; etcd counts the rest of the range for each page, so large pages cost less
 * @throws EtcdError, among others when that revision was compacted meanwhile
 */
export async function* pagedRange(
  kv: RangeReader,
  range: KeyRange,
  page: number,
  options: Omit<IRangeRequest, 'key' | 'range_end' | 'limit' | 'revision'> = {},
): AsyncGenerator<IKeyValue> {
  let { key } = range;
  let revision: string | undefined;
  for (;;) {
    const request: IRangeRequest = { ...options, key, range_end: range.range_end, limit: page };
    const answer = await kv.range(revision === undefined ? request : { ...request, revision });
    revision ??= answer.header.revision;
    yield* answer.kvs;
    const last = answer.kvs.at(-1);
    if (!answer.more || last === undefined) {
      return;
    }
    key = keyAfter(last.key);
  }
}
