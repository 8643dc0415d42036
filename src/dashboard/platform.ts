import type { Seals } from '../broker/ports.js';
import type { Secret } from '../credentials/secret.js';
import { openFlow, sealFlow } from './platform/flow.js';
import { HttpClient } from './platform/http.js';
import { type PlatformPermission, permissionFor } from './platform/permission.js';
import { endSignIn, type PlatformUser, startSignIn } from './platform/sign-in.js';
import { Uaa } from './platform/uaa.js';

export { PlatformAway, SignInExpired, SignInRefused } from './platform/errors.js';
export type { PlatformPermission } from './platform/permission.js';
export type { PlatformUser } from './platform/sign-in.js';

/** For all calls of one method together. */
const TIMEOUT_MS = 5_000;

export interface PlatformSettings {
  /** The Cloud Controller's address, e.g. https://api.example.com (no trailing slash). */
  apiUrl: string;
  clientId: string;
  clientSecret: Secret;
  /** PEM; the authority of the platform's certificates where it is not a public one. */
  caCertificate?: string;
}

export interface PlatformOptions {
  timeoutMs?: number;
  /** Milliseconds since 1970. */
  now?: () => number;
}

/**
 * Cloud Foundry, as a dashboard sees it: a person signs in at its UAA (OAuth 2's authorization code, with PKCE), and
 * its Cloud Controller tells what that person may do with an instance.
 */
export class Platform {
  readonly #uaa: Uaa;
  readonly #http: HttpClient;
  readonly #now: () => number;

  constructor(
    readonly settings: PlatformSettings,
    private readonly seals: Seals,
    { timeoutMs = TIMEOUT_MS, now = Date.now }: PlatformOptions = {},
  ) {
    this.#uaa = new Uaa(settings, now);
    this.#http = new HttpClient(timeoutMs, settings.caCertificate);
    this.#now = now;
  }

  /**
   * Begins a sign-in.
   * @param redirectUri where the browser comes back to; without a query
   * @returns where the browser is sent, and a sealed text for a cookie that is good for ten minutes
   * @throws PlatformAway
   */
  async begin(deploymentId: string, redirectUri: string): Promise<{ location: string; flow: string }> {
    const redirect_uri = new URL(redirectUri).href;
    const client = await this.#uaa.client(this.#http.withDeadline());
    const { location, secrets } = await startSignIn(client, redirect_uri);
    const flow = { deployment_id: deploymentId, redirect_uri, ...secrets, at: this.#now() };
    return { location, flow: sealFlow(this.seals, flow) };
  }

  /**
   * Ends a sign-in.
   * @param flow what {@link begin} sealed for the same deployment
   * @param url the whole address that the browser came back to
   * @throws SignInRefused, PlatformAway
   */
  async finish(deploymentId: string, flow: string, url: URL): Promise<PlatformUser> {
    const opened = openFlow(this.seals, flow, deploymentId, this.#now());
    return endSignIn(await this.#uaa.client(this.#http.withDeadline()), opened, url);
  }

  /**
   * @returns undefined when the person may neither read nor manage it
   * @throws SignInExpired when the token is no longer good; PlatformAway
   */
  permission(instanceId: string, token: string): Promise<PlatformPermission | undefined> {
    return permissionFor(this.#http.withDeadline(), this.settings.apiUrl, instanceId, token);
  }
}
