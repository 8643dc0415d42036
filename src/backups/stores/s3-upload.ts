import { createHash } from 'node:crypto';
import { element, elements } from './s3-xml.js';
import { StoreError } from './store.js';

/** What is asked of a bucket. */
export interface Asking {
  query?: Record<string, string>;
  body?: Uint8Array;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
}

type Ask = (asking: Asking & { method: string }) => Promise<Response>;

/** One file on its way: small ones in one request, others in parts. */
export class S3Upload {
  #id: string | undefined;
  readonly #tags: string[] = [];
  #bytes = 0;

  constructor(readonly ask: Ask) {}

  async part(body: Buffer): Promise<void> {
    if (this.#id === undefined) {
      const begun = await (await this.ask({ method: 'POST', query: { uploads: '' } })).text();
      this.#id = element(begun, 'UploadId');
      if (this.#id === undefined) {
        throw new StoreError('refused', 'The store does not take uploads in parts.');
      }
    }
    const query = { partNumber: String(this.#tags.length + 1), uploadId: this.#id };
    const { headers } = await this.ask({ method: 'PUT', query, body, headers: { 'content-md5': md5(body) } });
    this.#tags.push(headers.get('etag') ?? '');
    this.#bytes += body.length;
  }

  async end(rest: Buffer): Promise<number> {
    if (this.#id === undefined) {
      await this.ask({ method: 'PUT', body: rest, headers: { 'content-md5': md5(rest) } });
      return rest.length;
    }
    if (rest.length > 0) {
      await this.part(rest);
    }
    const parts = this.#tags.map(
      (tag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${tag}</ETag></Part>`,
    );
    const body = Buffer.from(`<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`);
    const done = await (await this.ask({ method: 'POST', query: { uploadId: this.#id }, body })).text();
    // S3 may find out after it has begun to answer 200.
    const code = elements(done, 'Error').length > 0 ? element(done, 'Code') : undefined;
    if (code !== undefined) {
      throw new StoreError('away', `The store could not put an upload together: ${code}.`);
    }
    return this.#bytes;
  }

  /** What can't be ended now is swept later. */
  async abort(): Promise<void> {
    if (this.#id !== undefined) {
      await this.ask({ method: 'DELETE', query: { uploadId: this.#id } }).catch(() => undefined);
    }
  }
}

function md5(body: Uint8Array): string {
  return createHash('md5').update(body).digest('base64');
}
