import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { SealError } from '../broker/errors.js';
import type { Seals } from '../broker/ports.js';
import { Secret } from '../credentials/secret.js';

/** Without a request for so long a session is over, in milliseconds. */
export const IDLE_MS = 3_600_000;
/** So long after its beginning it is over in any case. */
export const LONGEST_MS = 12 * 3_600_000;
/** The time of the last request is written down so often at most. */
export const SEEN_EVERY_MS = 60_000;
/** A sealed text that is longer is not looked at. Browsers keep cookies of 4,096 bytes, names included. */
const LONGEST_SEALED = 16_384;

/** What a person may do with an instance: look at it, or change it and see its keys. */
export type Permission = 'read' | 'manage';

/** What the cookie of a session holds, sealed. Times are those of the wall clock, in milliseconds since 1970. */
export interface Session {
  /** Random; names the session in its CSRF token and in audit lines. */
  id: string;
  deployment_id: string;
  permission: Permission;
  /** Who it is, for people and audit lines. */
  user: string;
  began: number;
  seen: number;
  /** Of those who have signed in at the platform: with what it is asked again, and when it was asked last. */
  platform?: { token: string; checked: number };
}

export function newSession(
  started: Pick<Session, 'deployment_id' | 'permission' | 'user' | 'platform'>,
  now = Date.now(),
): Session {
  return { id: randomBytes(16).toString('base64url'), began: now, seen: now, ...started };
}

/** Seals sessions for cookies. A session is bound to its deployment: moved to another's cookie it does not open. */
export class Sessions {
  /** @param seals of `BROKER_ENCRYPTION_KEY`, so that every replica knows every session */
  constructor(readonly seals: Seals) {}

  seal(session: Session): string {
    return this.seals.seal(new Secret(JSON.stringify(session)), purposeOf(session.deployment_id));
  }

  /** @returns undefined for what was not sealed for this deployment, and for a session that is over */
  open(sealed: string, deploymentId: string, now = Date.now()): Session | undefined {
    if (sealed.length > LONGEST_SEALED) {
      return undefined;
    }
    let text: string;
    try {
      text = this.seals.open(sealed, purposeOf(deploymentId)).reveal();
    } catch (error) {
      if (error instanceof SealError) {
        return undefined;
      }
      throw error;
    }
    const session = JSON.parse(text) as Session;
    const isOver = now - session.seen > IDLE_MS || now - session.began > LONGEST_MS;
    return session.deployment_id !== deploymentId || isOver ? undefined : session;
  }
}

function purposeOf(deploymentId: string): string {
  return `dashboard-session/${deploymentId}`;
}

/** What a form has to send back: it follows from the session's id, which no other site can read. */
export function csrfToken({ id }: Pick<Session, 'id'>): string {
  return createHmac('sha256', id).update('csrf').digest('base64url');
}

/** In constant time. */
export function isCsrfToken(session: Pick<Session, 'id'>, given: unknown): boolean {
  const expected = Buffer.from(csrfToken(session));
  const bytes = Buffer.from(typeof given === 'string' ? given : '');
  return bytes.length === expected.length && timingSafeEqual(bytes, expected);
}
