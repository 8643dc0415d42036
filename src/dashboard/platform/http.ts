import { type ClientRequest, type IncomingMessage, request as requestPlain } from 'node:http';
import { request as requestTls } from 'node:https';
import { PlatformAway } from './errors.js';

const MOST_BYTES = 64 * 1024;
const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]']);
/** What is looked at in an answer, beside its status and body. */
const HEADERS = ['content-type', 'www-authenticate'];

export interface Asking {
  method?: string;
  headers?: Record<string, string>;
  body?: string | undefined;
}

/** Asks a URL, within the time that is left. @throws PlatformAway */
export type Ask = (url: string, asking?: Asking) => Promise<Response>;

/**
 * An address that a secret may go to: https, or this machine.
 * @throws PlatformAway
 */
export function safeUrl(address: unknown, what: string): URL {
  if (typeof address !== 'string' || !URL.canParse(address)) {
    throw new PlatformAway(`${what} is not a URL.`);
  }
  const url = new URL(address);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && LOOPBACK.has(url.hostname))) {
    throw new PlatformAway(`${what} is not an https URL.`);
  }
  return url;
}

/**
 * HTTP and HTTPS for a few small calls. Node's own `fetch` takes no authority of its own without the package undici,
 * and does not bound an answer. Redirects are answers like others, and each call has a connection of its own.
 */
export class HttpClient {
  /** @param ca PEM; takes the place of the public authorities */
  constructor(
    private readonly timeoutMs: number,
    private readonly ca?: string,
  ) {}

  /** For several calls that have one deadline together, which begins now. */
  withDeadline(): Ask {
    const deadline = AbortSignal.timeout(this.timeoutMs);
    return async (address, asking = {}) => {
      const url = safeUrl(address, 'An address that the platform gave');
      try {
        return await this.#ask(url, asking, deadline);
      } catch (error) {
        // Neither a query nor what a server said is repeated: both may hold secrets.
        const where = `${url.origin}${url.pathname}`;
        const { code, message } = error as NodeJS.ErrnoException;
        throw new PlatformAway(
          deadline.aborted
            ? `${where} did not answer within ${this.timeoutMs} ms.`
            : `${where}: ${code ?? message}`,
        );
      }
    };
  }

  async #ask(url: URL, asking: Asking, signal: AbortSignal): Promise<Response> {
    const { method = 'GET', headers = {}, body } = asking;
    const options = { method, headers, signal, agent: false };
    const request =
      url.protocol === 'http:'
        ? requestPlain(url, options)
        : requestTls(url, this.ca === undefined ? options : { ...options, ca: this.ca });
    request.end(body);
    try {
      const answer = await headOf(request);
      return responseOf(answer, await bodyOf(answer));
    } finally {
      request.destroy();
    }
  }
}

function headOf(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve);
    // It may fail a second time, when it is given up.
    request.on('error', reject);
  });
}

async function bodyOf(answer: IncomingMessage): Promise<Buffer<ArrayBuffer>> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of answer as AsyncIterable<Buffer>) {
    length += piece.length;
    if (length > MOST_BYTES) {
      throw new Error(`the answer has more than ${MOST_BYTES} bytes`);
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces, length);
}

function responseOf({ statusCode = 0, headers }: IncomingMessage, body: Buffer<ArrayBuffer>): Response {
  const kept = new Headers();
  for (const name of HEADERS) {
    const value = headers[name];
    if (typeof value === 'string') {
      kept.set(name, value);
    }
  }
  // An answer of a status without a body, such as 204, may not even have an empty one.
  return new Response(body.length === 0 ? null : body, { status: statusCode, headers: kept });
}
