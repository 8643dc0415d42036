import type { SignIn } from '../../etcd/sign-in.js';
import { type Status, statuses } from '../calls/status.js';
import { Exchange } from './exchange.js';
import type { Upstream } from './upstream.js';

const TIMEOUT_MS = 4_000;

/** What etcd, or the way to it, said instead of an answer. */
export class AskFailed extends Error {
  override readonly name = 'AskFailed';

  constructor(readonly status: Status) {
    super(status.message);
  }
}

/**
 * One read of the portal's own as a tenant's etcd user.
 * @param signal gives it up
 * @throws AskFailed
 */
export function ask(
  upstream: Upstream,
  signIn: SignIn,
  path: string,
  message: Uint8Array,
  signal: AbortSignal,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const exchange = new Exchange(upstream, signIn, path, {
      answered: (answer) => {
        signal.removeEventListener('abort', stop);
        resolve(answer);
      },
      failed: (status) => {
        signal.removeEventListener('abort', stop);
        reject(new AskFailed(status));
      },
    });
    const stop = () => {
      exchange.cancel();
      reject(new AskFailed(statuses.cancelled));
    };
    if (signal.aborted) {
      stop();
      return;
    }
    signal.addEventListener('abort', stop, { once: true });
    exchange.start(message, performance.now() + TIMEOUT_MS, TIMEOUT_MS, true);
  });
}
