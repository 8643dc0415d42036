import {
  allowInsecureRequests,
  ClientSecretPost,
  Configuration,
  type CustomFetch,
  customFetch,
  discovery,
  type ServerMetadata,
} from 'openid-client';
import type { Secret } from '../../credentials/secret.js';
import { PlatformAway } from './errors.js';
import { type Ask, safeUrl } from './http.js';
import { jsonObject } from './json.js';
import { awayOf } from './library-errors.js';

const FRESH_MS = 60 * 60_000;

export interface UaaSettings {
  /** The Cloud Controller's address, which leads to UAA. */
  apiUrl: string;
  clientId: string;
  clientSecret: Secret;
}

/** Finds the platform's UAA, and what it offers, once an hour at most. */
export class Uaa {
  #found: { metadata: ServerMetadata; at: number } | undefined;

  /** @param now milliseconds */
  constructor(
    readonly settings: UaaSettings,
    private readonly now: () => number,
  ) {}

  /** For calls of UAA by `openid-client`, which are made with `ask`. @throws PlatformAway */
  async client(ask: Ask): Promise<Configuration> {
    const { clientId } = this.settings;
    const client = new Configuration(await this.#metadata(ask), clientId, undefined, this.#authentication());
    client[customFetch] = fetchWith(ask);
    // `safeUrl` stands in for the library's own check, which knows no exception for loopback addresses.
    allowInsecureRequests(client);
    return client;
  }

  async #metadata(ask: Ask): Promise<ServerMetadata> {
    const age = this.now() - (this.#found?.at ?? Number.NaN);
    if (this.#found && age >= 0 && age < FRESH_MS) {
      return this.#found.metadata;
    }
    const metadata = await this.#discover(await uaaUrl(ask, this.settings.apiUrl), ask);
    safeUrl(metadata.authorization_endpoint, "UAA's authorization endpoint");
    safeUrl(metadata.token_endpoint, "UAA's token endpoint");
    this.#found = { metadata, at: this.now() };
    return metadata;
  }

  async #discover(base: string, ask: Ask): Promise<ServerMetadata> {
    // UAA's issuer is `<base>/oauth/token`, or what its operator set, and need not be under the address that leads to
    // it. With a whole address the library does not compare the two; an id_token's issuer is compared all the same.
    const address = new URL(`${base}/.well-known/openid-configuration`);
    try {
      const found = await discovery(address, this.settings.clientId, undefined, this.#authentication(), {
        [customFetch]: fetchWith(ask),
        execute: [allowInsecureRequests],
      });
      return found.serverMetadata();
    } catch (error) {
      throw awayOf(error);
    }
  }

  // In the body: UAA takes id and secret in the Authorization header as they are, where OAuth 2 wants them encoded.
  #authentication() {
    return ClientSecretPost(this.settings.clientSecret.reveal());
  }
}

/** Where UAA is, without a slash at its end. */
async function uaaUrl(ask: Ask, apiUrl: string): Promise<string> {
  const answer = await ask(`${apiUrl}/`, { headers: { accept: 'application/json' } });
  if (answer.status !== 200) {
    throw new PlatformAway(`The Cloud Controller answered ${answer.status}.`);
  }
  const { links } = (await jsonObject(answer, 'The Cloud Controller')) as { links?: Links };
  const href = links?.uaa?.href ?? links?.login?.href;
  return safeUrl(href, "The Cloud Controller's link to UAA").href.replace(/\/+$/, '');
}

type Links = Partial<Record<string, { href?: unknown } | null>> | null;

/** The deadline of `ask` takes the place of the library's own, which is for a single call. */
function fetchWith(ask: Ask): CustomFetch {
  return (url, { method, headers, body }) =>
    ask(url, { method, headers, body: body === null || body === undefined ? undefined : String(body) });
}
