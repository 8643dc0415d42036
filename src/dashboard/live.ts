import type { Request, Response } from 'express';
import type { KeyBrowser } from '../administration/key-browser.js';
import type { KeyChange, KeyWatch } from '../administration/key-watch.js';
import { HttpError } from '../osb/http/errors.js';
import { placeOf } from './actions/keys.js';
import { oneLine } from './values.js';
import type { Visit } from './visit.js';

/** So many pages watch at a time, at this replica and for each session. */
const MOST_LIVE = 100;
const MOST_OF_A_SESSION = 4;
/** Then a page asks again, by itself, so that it is seen whether it still may; in milliseconds. */
const LONGEST_MS = 180_000;
const COMMENT_EVERY_MS = 15_000;
/** So many changes of one answer of etcd are told of, and so many bytes of each value. */
const MOST_CHANGES = 100;
const PREVIEW = 200;

/** Tells open pages what changes among a tenant's keys, as server-sent events (WHATWG HTML, section 9.2). */
export class LivePages {
  readonly #open = new Map<Response, string>();

  /** @param stopping aborted when the broker ends, which open pages must not hold up */
  constructor(
    readonly keyBrowser: KeyBrowser,
    readonly stopping: AbortSignal,
  ) {
    stopping.addEventListener('abort', () => {
      for (const response of this.#open.keys()) {
        response.end();
      }
    });
  }

  /** Answers with changes until the page is closed. @throws HttpError when too many pages are open */
  async serve(
    { instance, session }: Pick<Visit, 'instance' | 'session'>,
    request: Request,
    response: Response,
  ) {
    const { space, folder, key } = placeOf(request);
    const own = [...this.#open.values()].filter((id) => id === session.id).length;
    if (this.#open.size >= MOST_LIVE || own >= MOST_OF_A_SESSION || this.stopping.aborted) {
      throw new HttpError(503, 'Too many pages watch already. Close one and try again.', {
        'Retry-After': '60',
      });
    }
    this.#open.set(response, session.id);
    let watch: KeyWatch | undefined;
    const timers = [
      setInterval(() => response.write(':\n\n'), COMMENT_EVERY_MS),
      setTimeout(() => response.end(), LONGEST_MS),
    ];
    response.once('close', () => {
      this.#open.delete(response);
      watch?.cancel();
      for (const timer of timers) {
        clearTimeout(timer);
      }
    });
    // Proxies must neither keep nor collect it.
    response
      .set({ 'Cache-Control': 'no-store, no-transform', 'X-Accel-Buffering': 'no' })
      .type('text/event-stream');
    try {
      watch = await this.keyBrowser.watch(
        { deploymentId: instance.deployment_id, keySpace: space ?? '' },
        { key, folder, start: resumed(request) },
        {
          onStart: (revision) => response.write(`id: ${revision}\nevent: start\ndata:\n\n`),
          onChanges: (changes) => {
            if (!tell(response, changes)) {
              watch?.pause();
              response.once('drain', () => watch?.resume());
            }
          },
          // Without an id the browser begins anew when it asks again.
          onEnd: (isCompacted) => response.end(isCompacted ? 'id:\nevent: lost\ndata:\n\n' : ''),
        },
      );
    } catch (error) {
      this.#open.delete(response);
      throw error;
    }
    if (response.destroyed) {
      watch.cancel();
    }
  }
}

/** After a break the browser names the last that it has got. */
function resumed(request: Request): string | undefined {
  const last = request.get('Last-Event-ID') ?? '';
  return /^\d{1,18}$/.test(last) ? String(BigInt(last) + 1n) : undefined;
}

/** @returns false when the page is slower than etcd */
function tell(response: Response, changes: readonly KeyChange[]): boolean {
  const told = changes.slice(0, MOST_CHANGES).map(({ type, key, value, revision }) => {
    const change = { type, key: oneLine(key, PREVIEW), value: oneLine(value, PREVIEW), revision };
    return `id: ${revision}\ndata: ${JSON.stringify(change)}\n\n`;
  });
  const left = changes.length - told.length;
  return response.write(told.join('') + (left > 0 ? `event: left\ndata: ${left}\n\n` : ''));
}
