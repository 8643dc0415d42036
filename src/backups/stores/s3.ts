import { createHash } from 'node:crypto';
import { AwsV4Signer } from 'aws4fetch';
import type { Secret } from '../../credentials/secret.js';
import { sleep, withTimeout } from '../../timing.js';
import { type Asking, S3Upload } from './s3-upload.js';
import { element, elements } from './s3-xml.js';
import { assertName, type BackupStore, NAME, type StoredFile, StoreError } from './store.js';
import { together } from './together.js';

/** S3 takes parts of 5 MiB and more, and 10,000 of them. */
const PART_BYTES = 8 * 1024 * 1024;
const MOST_ATTEMPTS = 5;
const FIRST_PAUSE_MS = 200;
/** For one request with its answer's head; a part of 8 MiB on a slow line included. */
const TIMEOUT_MS = 60_000;
/** For the next bytes of an answer. */
const STALL_MS = 30_000;

export interface S3Options {
  /** The bucket, and what all names begin with: `https://host/bucket/prefix`, or `https://bucket.host/prefix`. */
  url: string;
  /** Whether the bucket is the first part of the path or of the host's name. */
  style: 'path' | 'virtual-host';
  region: string;
  accessKeyId: string;
  secretAccessKey: Secret;
  /** The pause before the second attempt, in milliseconds; doubled each time. */
  firstPauseMs?: number;
}

/** A bucket of S3 or of what speaks its language. Each request is signed with its body's hash. */
export class S3Store implements BackupStore {
  readonly #bucket: string;
  /** Ends with `/`, unless it is empty. */
  readonly #prefix: string;

  constructor(readonly options: S3Options) {
    const url = new URL(options.url);
    const path = url.pathname.split('/').filter((part) => part !== '');
    const bucket = options.style === 'path' ? `/${path.shift() ?? ''}` : '';
    this.#bucket = `${url.origin}${bucket}`;
    this.#prefix = path.map((part) => `${part}/`).join('');
  }

  get where(): string {
    return `${this.#bucket}/${this.#prefix}`;
  }

  async write(name: string, pieces: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<number> {
    assertName(name);
    const upload = new S3Upload((asking) =>
      // What was given up has to be ended all the same.
      this.#ask(asking.method, name, asking.method === 'DELETE' ? asking : { ...asking, signal }),
    );
    try {
      let rest = Buffer.alloc(0);
      for await (const some of together(pieces, PART_BYTES, signal)) {
        const body = Buffer.concat(some);
        if (body.length >= PART_BYTES) {
          await upload.part(body);
        } else {
          rest = body;
        }
      }
      return await upload.end(rest);
    } catch (error) {
      await upload.abort();
      throw error;
    }
  }

  /** Goes on where it was when the connection breaks. */
  async *read(name: string, from = 0): AsyncGenerator<Uint8Array> {
    assertName(name);
    let at = from;
    for (let attempt = 1; ; attempt += 1) {
      const before = at;
      try {
        const headers = at === 0 ? {} : { range: `bytes=${at}-` };
        const answer = await this.#ask('GET', name, { headers });
        if (at > 0 && answer.status === 200) {
          throw new StoreError('refused', `${this.where} does not send a part of a file.`);
        }
        for await (const piece of withoutStalls(answer)) {
          at += piece.length;
          yield piece;
        }
        return;
      } catch (error) {
        if (error instanceof StoreError || attempt >= MOST_ATTEMPTS) {
          throw error instanceof StoreError ? error : this.#away(error);
        }
        attempt = at > before ? 1 : attempt;
        await this.#pause(attempt);
      }
    }
  }

  async *list(prefix: string): AsyncGenerator<StoredFile> {
    let token: string | undefined;
    do {
      const query = {
        'list-type': '2',
        prefix: this.#prefix + prefix,
        ...(token && { 'continuation-token': token }),
      };
      const xml = await (await this.#ask('GET', undefined, { query })).text();
      for (const contents of elements(xml, 'Contents')) {
        const name = element(contents, 'Key')?.slice(this.#prefix.length) ?? '';
        if (NAME.test(name)) {
          const at = Date.parse(element(contents, 'LastModified') ?? '');
          yield { name, bytes: Number(element(contents, 'Size')), at };
        }
      }
      token = element(xml, 'NextContinuationToken');
    } while (token !== undefined && token !== '');
  }

  async delete(name: string): Promise<void> {
    assertName(name);
    try {
      await this.#ask('DELETE', name, {});
    } catch (error) {
      if (!(error instanceof StoreError && error.kind === 'not found')) {
        throw error;
      }
    }
  }

  /** Uploads in parts cost their owner money until somebody ends them. Not every server can list them. */
  async sweep(olderThanMs: number): Promise<number> {
    let xml: string;
    try {
      xml = await (
        await this.#ask('GET', undefined, { query: { uploads: '', prefix: this.#prefix } })
      ).text();
    } catch (error) {
      if (error instanceof StoreError && error.kind === 'unsupported') {
        return 0;
      }
      throw error;
    }
    let count = 0;
    for (const upload of elements(xml, 'Upload')) {
      const name = element(upload, 'Key')?.slice(this.#prefix.length) ?? '';
      const uploadId = element(upload, 'UploadId') ?? '';
      const at = Date.parse(element(upload, 'Initiated') ?? '');
      if (NAME.test(name) && at <= Date.now() - olderThanMs) {
        await this.#ask('DELETE', name, { query: { uploadId } });
        count += 1;
      }
    }
    return count;
  }

  /** @throws StoreError */
  async #ask(
    method: string,
    name: string | undefined,
    { query = {}, body, headers = {}, signal }: Asking,
  ): Promise<Response> {
    const url = new URL(name === undefined ? `${this.#bucket}/` : `${this.#bucket}/${this.#prefix}${name}`);
    for (const [parameter, value] of Object.entries(query)) {
      url.searchParams.set(parameter, value);
    }
    for (let attempt = 1; ; attempt += 1) {
      signal?.throwIfAborted();
      let failure: unknown;
      try {
        const answer = await this.#fetch(method, url, headers, body, signal);
        if (answer.ok) {
          return answer;
        }
        failure = this.#refusal(answer.status, await answer.text());
      } catch (error) {
        signal?.throwIfAborted();
        failure = this.#away(error);
      }
      if (!(failure instanceof StoreError) || failure.kind !== 'away' || attempt >= MOST_ATTEMPTS) {
        throw failure;
      }
      await this.#pause(attempt);
    }
  }

  async #fetch(
    method: string,
    url: URL,
    headers: Record<string, string>,
    body: Uint8Array | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Response> {
    const { accessKeyId, secretAccessKey, region } = this.options;
    const signer = new AwsV4Signer({
      method,
      url: url.href,
      headers: {
        ...headers,
        'x-amz-content-sha256': createHash('sha256')
          .update(body ?? '')
          .digest('hex'),
      },
      ...(body === undefined ? {} : { body: body as Uint8Array<ArrayBuffer> }),
      accessKeyId,
      secretAccessKey: secretAccessKey.reveal(),
      service: 's3',
      region,
    });
    const signed = await signer.sign();
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    // The time-out is for the head only: what comes then is watched by its reader.
    const head = new AbortController();
    const give = () => head.abort(timeout.reason);
    timeout.addEventListener('abort', give);
    try {
      return await fetch(signed.url, {
        method,
        headers: signed.headers,
        body: body ?? null,
        redirect: 'error',
        signal: signal === undefined ? head.signal : AbortSignal.any([head.signal, signal]),
      });
    } finally {
      timeout.removeEventListener('abort', give);
    }
  }

  #refusal(status: number, xml: string): StoreError {
    const code = element(xml, 'Code') ?? String(status);
    if (status === 404 && code !== 'NoSuchBucket') {
      return new StoreError('not found', 'There is no such file in the store of backups.');
    }
    if ((status >= 500 && status !== 501) || status === 429 || status === 408 || code === 'RequestTimeout') {
      return new StoreError(status === 507 ? 'full' : 'away', `${this.where} answered ${status} ${code}.`);
    }
    if (status === 501) {
      return new StoreError('unsupported', `${this.where} does not know a request: ${code}.`);
    }
    const remedy = 'Check BACKUP_S3_URL and its keys, and what they may do.';
    return new StoreError('refused', `${this.where} refused a request: ${status} ${code}. ${remedy}`);
  }

  #away(cause: unknown): StoreError {
    const { message, cause: reason } = cause as Error;
    const detail = reason instanceof Error ? reason.message : message;
    return new StoreError('away', `${this.where} does not answer: ${detail}`, { cause });
  }

  #pause(attempt: number): Promise<void> {
    const { firstPauseMs = FIRST_PAUSE_MS } = this.options;
    return sleep(firstPauseMs * 2 ** (attempt - 1) * (0.5 + Math.random() / 2));
  }
}

/** The body of an answer, given up when nothing comes any more. */
async function* withoutStalls({ body }: Response): AsyncGenerator<Uint8Array> {
  if (body === null) {
    return;
  }
  const reader = body.getReader();
  try {
    for (;;) {
      const read = await withTimeout(reader.read(), STALL_MS);
      if (read === undefined) {
        throw new Error('nothing comes any more');
      }
      if (read.done) {
        return;
      }
      yield read.value;
    }
  } finally {
    await reader.cancel().catch(() => undefined); // it has broken already
  }
}
