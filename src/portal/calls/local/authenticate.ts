import { setTimeout as sleep } from 'node:timers/promises';
import type { Message } from '../../../etcd/messages/codec.js';
import type { PortalGauges } from '../../limits/gauges.js';
import type { Guesses } from '../../limits/guesses.js';
import { type LimitRefusal, tooManyRequests } from '../../limits/refusals.js';
import type { Passwords, TenantFinder } from '../../tenants/passwords.js';
import type { Tokens } from '../../tenants/tokens.js';
import { whitelistOf } from '../active-tenant.js';
import { refusal } from '../admission.js';
import { statuses } from '../status.js';
import type { ClusterFacts } from './cluster-facts.js';
import { CallFailed } from './local-call.js';

export interface AuthenticateParts {
  readonly passwords: Passwords;
  readonly tenants: TenantFinder;
  readonly guesses: Guesses;
  readonly gauges: PortalGauges;
  readonly tokens: Tokens;
  readonly facts: ClusterFacts;
}

/** As the broker names the users that it makes, see `cluster/access-control.ts`. */
const BINDING_NAME = /^d-[0-9a-f]{24}-[0-9a-f]{16}$/;
/** For how long an unknown user may still appear, and how often that is looked at, in milliseconds. */
const APPEARS_WITHIN_MS = 1_000;
const APPEARS_EVERY_MS = 20;
/** So many wrong answers are held back at one time; beyond that, who guesses is refused. */
const MAX_DELAYED = 1_000;

/** Authenticate: a portal's own token for a right password. etcd is not asked. */
export class Authenticate {
  #delayed = 0;

  constructor(readonly parts: AuthenticateParts) {}

  async answer({ name, password }: Message, peer: string, signal: AbortSignal): Promise<object> {
    const { passwords, guesses, tokens, facts } = this.parts;
    await this.#appears(name as string, signal);
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
        throw this.#refused(attempt.refusal);
      case 'wrong':
        await this.#delay(attempt.delayMs, signal);
        throw new CallFailed(statuses.authFailed);
    }
  }

  /**
   * A binding that was made a moment ago may not have come through the watch of the records yet, and its credentials
   * have to work at once. User names are random, so that one is unknown for longer tells nobody anything.
   */
  async #appears(name: string, signal: AbortSignal): Promise<void> {
    const endAt = performance.now() + APPEARS_WITHIN_MS;
    while (
      this.parts.tenants.find(name) === undefined &&
      BINDING_NAME.test(name) &&
      this.#delayed < MAX_DELAYED &&
      performance.now() < endAt
    ) {
      await this.#delay(APPEARS_EVERY_MS, signal);
    }
  }

  #refused(refused: LimitRefusal): CallFailed {
    this.parts.gauges.refused(refused);
    return new CallFailed(refusal(refused));
  }

  async #delay(milliseconds: number, signal: AbortSignal): Promise<void> {
    if (milliseconds === 0) {
      return;
    }
    if (this.#delayed >= MAX_DELAYED) {
      throw this.#refused(tooManyRequests('delayed guesses'));
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
