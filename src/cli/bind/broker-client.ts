import type { BrokerCredentials } from '../../config/config.js';
import { sleep } from '../../timing.js';

/** How long one request may take; the broker answers each within 9 s. */
const REQUEST_TIMEOUT_MS = 15_000;
/** How long an operation may go on that the broker has accepted, with all questions about it. */
const OPERATION_TIMEOUT_MS = 120_000;
const POLL_EVERY_MS = 500;
/** A catalog with pictures is the largest of all answers. */
const LONGEST_ANSWER = 4 << 20;

export interface Answer {
  status: number;
  body: { [field: string]: unknown };
}

/** A platform's side of the Open Service Broker API 2.17, as far as `bind` needs it. */
export class BrokerClient {
  readonly #base: string;
  readonly #headers: { [name: string]: string };

  /** @throws Error with one line when the URL is none */
  constructor(
    readonly url: string,
    { username, password }: BrokerCredentials,
  ) {
    const parsed = URL.canParse(url) ? new URL(url) : undefined;
    if (parsed === undefined || !/^https?:$/.test(parsed.protocol) || parsed.username || parsed.password) {
      throw new Error(
        'BROKER_URL must be an http:// or https:// URL such as http://localhost:8080, without a user.',
      );
    }
    this.#base = parsed.href.replace(/\/$/, '');
    this.#headers = {
      authorization: `Basic ${Buffer.from(`${username}:${password.reveal()}`).toString('base64')}`,
      'x-broker-api-version': '2.17',
    };
  }

  /**
   * One request.
   * @param accepted the statuses that the caller can go on with; others are errors
   * @throws Error with one line for a person
   */
  async send(method: string, path: string, accepted: readonly number[], body?: unknown): Promise<Answer> {
    const answer = await this.#exchange(method, path, body);
    if (accepted.includes(answer.status)) {
      return answer;
    }
    if (answer.status === 401) {
      throw new Error(
        `The broker at ${this.#base} does not take this user and password. Set BROKER_USERNAME and BROKER_PASSWORD to the broker's, or DATA_DIR to the folder of the broker that npm start runs.`,
      );
    }
    const { description } = answer.body;
    throw new Error(
      typeof description === 'string'
        ? `The broker refused: ${description}`
        : `The broker at ${this.#base} answered with status ${answer.status} and no reason. Is it one?`,
    );
  }

  /** Waits until what a 202 spoke of has ended well. A deletion may also answer 410. */
  async finish(path: string, { operation }: Answer['body']): Promise<void> {
    const query = typeof operation === 'string' ? `?operation=${encodeURIComponent(operation)}` : '';
    const deadline = performance.now() + OPERATION_TIMEOUT_MS;
    for (;;) {
      const { status, body } = await this.send('GET', `${path}/last_operation${query}`, [200, 410]);
      if (status === 410 || body.state === 'succeeded') {
        return;
      }
      if (body.state !== 'in progress') {
        throw new Error(`The broker failed: ${body.description ?? 'it does not say why'}`);
      }
      if (performance.now() > deadline) {
        throw new Error(
          `The broker is not done after ${OPERATION_TIMEOUT_MS / 1000} s. Run the command again.`,
        );
      }
      await sleep(POLL_EVERY_MS);
    }
  }

  async #exchange(method: string, path: string, body: unknown): Promise<Answer> {
    try {
      const response = await fetch(`${this.#base}${path}`, {
        method,
        redirect: 'error', // it would take the password elsewhere
        headers: { ...this.#headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      });
      return { status: response.status, body: parse(await textOf(response)) };
    } catch (error) {
      const { name, message, cause } = error as Error;
      const { code, message: inner } = (cause ?? {}) as NodeJS.ErrnoException;
      const why =
        name === 'TimeoutError'
          ? `no answer within ${REQUEST_TIMEOUT_MS / 1000} s`
          : (code ?? inner ?? message);
      throw new Error(
        `No broker can be spoken to at ${this.#base} (${why}). Start it with npm start, or set BROKER_URL to where it is.`,
        { cause: error },
      );
    }
  }
}

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > LONGEST_ANSWER) {
      throw new Error(`an answer of more than ${LONGEST_ANSWER} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** What is no JSON object says nothing; the status is then all there is. */
function parse(text: string): Answer['body'] {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Answer['body']) : {};
  } catch {
    return {};
  }
}
