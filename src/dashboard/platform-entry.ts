import type { Request, Response } from 'express';
import type { Administration } from '../administration/administration.js';
import type { Seals } from '../broker/ports.js';
import type { DashboardSettings } from '../config/dashboard.js';
import { HttpError } from '../osb/http/errors.js';
import { callbackUrl } from './address.js';
import { LongCookie } from './cookies.js';
import { Platform, PlatformAway, SignInExpired, SignInRefused } from './platform.js';
import { newSession, type Session } from './session.js';

/** What a person may do is asked again so often, in milliseconds. */
export const ASKED_EVERY_MS = 180_000;
const FLOW_COOKIE = 'dashboard_sign_in';
const NOBODY = 'You may not enter: your account at Cloud Foundry has no role for this service instance.';

/** Lets people in with their account at Cloud Foundry, as far as it says that they may. */
export class PlatformEntry {
  readonly #platform: Platform;
  readonly #administration: Administration;
  readonly #root: () => string;

  /** @param root the path of `/dashboard` as browsers see it */
  constructor(settings: DashboardSettings, seals: Seals, administration: Administration, root: () => string) {
    this.#platform = new Platform(settings, seals);
    this.#administration = administration;
    this.#root = root;
  }

  /** Sends the browser to the platform. @throws HttpError */
  async begin(response: Response, deploymentId: string): Promise<void> {
    const { location, flow } = await this.#asked(this.#platform.begin(deploymentId, this.#callback));
    this.#cookie.write(response, `${deploymentId}.${flow}`);
    response.redirect(303, location);
  }

  /**
   * Ends what {@link begin} has begun.
   * @throws HttpError, the same for an instance that does not exist and for one that is none of the person's
   */
  async finish(request: Request, response: Response): Promise<Session> {
    const [, deploymentId = '', flow = ''] =
      /^([0-9a-f]{24})\.(.+)$/.exec(this.#cookie.read(request) ?? '') ?? [];
    this.#cookie.clear(response);
    const url = new URL(request.originalUrl, this.#callback);
    const { user, token } = await this.#asked(this.#platform.finish(deploymentId, flow, url));
    const { records, log } = this.#administration.parts.broker;
    const instance = await records.readInstanceOfDeployment(deploymentId);
    const permission =
      instance && (await this.#asked(this.#platform.permission(instance.value.instance_id, token)));
    if (permission === undefined) {
      throw new HttpError(403, NOBODY);
    }
    log.info({ instance: instance?.value.instance_id, by: user }, 'Signed in to the dashboard');
    const platform = { token, checked: Date.now() };
    return newSession({ deployment_id: deploymentId, permission, user, platform });
  }

  /**
   * What a session is worth now.
   * @returns undefined when it is over: the platform's token has run out, or the person lost every role
   * @throws HttpError while the platform does not answer
   */
  async refresh(session: Session, instanceId: string, now = Date.now()): Promise<Session | undefined> {
    const { platform } = session;
    // A session by link is good as long as it lasts.
    if (platform === undefined || now - platform.checked < ASKED_EVERY_MS) {
      return session;
    }
    try {
      const permission = await this.#platform.permission(instanceId, platform.token);
      return permission && { ...session, permission, platform: { ...platform, checked: now } };
    } catch (error) {
      if (error instanceof SignInExpired) {
        return undefined;
      }
      throw this.#httpError(error);
    }
  }

  get #callback(): string {
    return callbackUrl(this.#administration.parts.service.publicUrl);
  }

  get #cookie(): LongCookie {
    return new LongCookie(FLOW_COOKIE, `${this.#root()}/callback`);
  }

  async #asked<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      throw this.#httpError(error);
    }
  }

  #httpError(error: unknown): unknown {
    const { log } = this.#administration.parts.broker;
    if (error instanceof PlatformAway) {
      log.warn({ reason: (error.cause as Error).message }, 'The platform does not let people sign in');
      return new HttpError(503, error.message, { 'Retry-After': '60' });
    }
    if (error instanceof SignInRefused || error instanceof SignInExpired) {
      log.info({ reason: (error.cause as Error | undefined)?.message }, 'A sign-in came to nothing');
      return new HttpError(403, error.message);
    }
    return error;
  }
}
