import type { Request, Response } from 'express';
import type { Seals } from '../broker/ports.js';
import { EVERY_DEPLOYMENT } from './address.js';
import { LongCookie } from './cookies.js';
import { isCsrfToken, SEEN_EVERY_MS, type Session, Sessions } from './session.js';

const NAME = 'dashboard_session';

/** Knows by a request's cookies who is signed in. A deployment's cookie is sent to its own pages only. */
export class Gate {
  readonly #sessions: Sessions;

  /** @param root the path of `/dashboard` as browsers see it */
  constructor(
    seals: Seals,
    readonly root: () => string,
  ) {
    this.#sessions = new Sessions(seals);
  }

  /** The session of a deployment's page; also an operator's, which is good for all. */
  sessionOf(request: Request, scope: string): Session | undefined {
    const own = this.#read(request, scope);
    return own ?? (scope === EVERY_DEPLOYMENT ? undefined : this.#read(request, EVERY_DEPLOYMENT));
  }

  /** Hands out a session's cookie, or writes anew that it is in use. */
  write(response: Response, session: Session): void {
    this.#cookie(session.deployment_id).write(response, this.#sessions.seal(session));
  }

  /** Writes down that a session is in use, once a minute. */
  touch(response: Response, session: Session, now = Date.now()): void {
    if (now - session.seen > SEEN_EVERY_MS) {
      this.write(response, { ...session, seen: now });
    }
  }

  clear(response: Response, session: Session): void {
    this.#cookie(session.deployment_id).clear(response);
  }

  #read(request: Request, scope: string): Session | undefined {
    const sealed = this.#cookie(scope).read(request);
    return sealed === undefined ? undefined : this.#sessions.open(sealed, scope);
  }

  #cookie(scope: string): LongCookie {
    return scope === EVERY_DEPLOYMENT
      ? new LongCookie(`${NAME}_all`, this.root())
      : new LongCookie(NAME, `${this.root()}/${scope}`);
  }
}

/**
 * Whether a form was sent by a page of this session: it has the session's token, and no browser says that it comes from
 * another site.
 */
export function isOwnForm(request: Request, session: Session): boolean {
  return isSameOrigin(request) && isCsrfToken(session, request.body?.csrf);
}

/** Browsers that know `Sec-Fetch-Site` say where a request comes from. */
export function isSameOrigin(request: Request): boolean {
  const site = request.headers['sec-fetch-site'];
  return site === undefined || site === 'same-origin';
}
