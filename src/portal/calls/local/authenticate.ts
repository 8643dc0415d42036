import { setTimeout as sleep } from 'node:timers/promises';
import type { Message } from '../../../etcd/messages/codec.js';
import type { Guesses } from '../../limits/guesses.js';
import { tooManyRequests } from '../../limits/refusals.js';
import type { Passwords } from '../../tenants/passwords.js';
import type { Tokens } from '../../tenants/tokens.js';
import { whitelistOf } from '../active-tenant.js';
import { refusal } from '../admission.js';
import { statuses } from '../status.js';
import type { ClusterFacts } from './cluster-facts.js';
import { CallFailed } from './local-call.js';

export interface AuthenticateParts {
  readonly passwords: Passwords;
  readonly guesses: Guesses;
  readonly tokens: Tokens;
  readonly facts: ClusterFacts;
}

/** So many wrong answers are held back at one time; beyond that, who guesses is refused. */
const MAX_DELAYED = 1_000;

/** Authenticate: a portal's own token for a right password. etcd is not asked. */
export class Authenticate {
  #delayed = 0;

  constructor(readonly parts: AuthenticateParts) {}

  async answer({ name, password }: Message, peer: string, signal: AbortSignal): Promise<object> {
    const { passwords, guesses, tokens, facts } = this.parts;
    const attempt = guesses.attempt(name as string, peer, () =>
      passwords.check(name as string, password as string),
    );
    switch (attempt.outcome) {
      case 'in':
        if (!whitelistOf(attempt.found).allows(peer)) {
          throw new CallFailed(statuses.permissionDenied);
        }
        return { header: facts.header(), token: tokens.issue(attempt.found) };
      case 'refused':
        throw new CallFailed(refusal(attempt.refusal));
      case 'wrong':
        await this.#delay(attempt.delayMs, signal);
        throw new CallFailed(statuses.authFailed);
    }
  }

  async #delay(milliseconds: number, signal: AbortSignal): Promise<void> {
    if (milliseconds === 0) {
      return;
    }
    if (this.#delayed >= MAX_DELAYED) {
      throw new CallFailed(refusal(tooManyRequests('delayed guesses')));
    }
    this.#delayed += 1;
    try {
      await sleep(milliseconds, undefined, { signal });
    } catch {
      // The client has gone, and with it the reason to wait: nobody gets the answer.
      throw new CallFailed(statuses.cancelled);
    } finally {
      this.#delayed -= 1;
    }
  }
}
