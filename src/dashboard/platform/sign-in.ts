import {
  type AuthorizationCodeGrantChecks,
  AuthorizationResponseError,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  type Configuration,
  type CustomFetch,
  calculatePKCECodeChallenge,
  customFetch,
  fetchUserInfo,
  ResponseBodyError,
  randomNonce,
  randomPKCECodeVerifier,
  randomState,
  skipSubjectCheck,
  type TokenEndpointResponse,
  type TokenEndpointResponseHelpers,
  WWWAuthenticateChallengeError,
} from 'openid-client';
import { PlatformAway, SignInRefused } from './errors.js';
import type { Flow } from './flow.js';
import { awayOf, reasonOf } from './library-errors.js';

const PERMISSIONS_SCOPE = 'cloud_controller_service_permissions.read';
const LONGEST_NAME = 200;
/** In this order. `sub` is a GUID at UAA. */
const NAMES = ['user_name', 'email', 'sub'];

/** Errors of OAuth 2 that pass. */
const PASSING = new Set(['server_error', 'temporarily_unavailable']);
/** Errors of OAuth 2 that mean the broker itself; `unauthorized` is UAA's own. */
const CLIENT_REFUSED = new Set(['invalid_client', 'unauthorized_client', 'unauthorized']);

/** Who has signed in. */
export interface PlatformUser {
  /** A name for people. */
  user: string;
  /** The access token. */
  token: string;
}

/** What the browser is sent with, and what has to be known when it comes back. */
export async function startSignIn(
  client: Configuration,
  redirectUri: string,
): Promise<{ location: string; secrets: Pick<Flow, 'state' | 'nonce' | 'verifier'> }> {
  const secrets = { state: randomState(), nonce: randomNonce(), verifier: randomPKCECodeVerifier() };
  const location = buildAuthorizationUrl(client, {
    redirect_uri: redirectUri,
    scope: `openid ${PERMISSIONS_SCOPE}`,
    state: secrets.state,
    nonce: secrets.nonce,
    code_challenge: await calculatePKCECodeChallenge(secrets.verifier),
    code_challenge_method: 'S256',
  });
  return { location: location.href, secrets };
}

/**
 * @param url what the browser came back to; of it only the query counts
 * @throws SignInRefused, PlatformAway
 */
export async function endSignIn(client: Configuration, flow: Flow, url: URL): Promise<PlatformUser> {
  const returned = new URL(flow.redirect_uri);
  returned.search = url.search;
  const tokens = await tokensFor(client, flow, returned);
  const { access_token: token, scope } = tokens;
  // A person may allow one scope and not another. Without one in the answer, all were allowed.
  if (scope !== undefined && !scope.split(' ').includes(PERMISSIONS_SCOPE)) {
    throw new SignInRefused(
      'Sign in again and allow the dashboard to see your permissions, which it does not work without.',
    );
  }
  const user = nameIn(tokens.claims() ?? (await userInfo(client, token)));
  if (user === undefined) {
    throw new PlatformAway('UAA did not say who has signed in.');
  }
  return { user, token };
}

type Tokens = TokenEndpointResponse & TokenEndpointResponseHelpers;

async function tokensFor(client: Configuration, flow: Flow, url: URL): Promise<Tokens> {
  const checks: AuthorizationCodeGrantChecks = {
    expectedState: flow.state,
    pkceCodeVerifier: flow.verifier,
    expectedNonce: flow.nonce,
  };
  const fetch = client[customFetch];
  let wasAsked = false;
  client[customFetch] = async (...call) => {
    wasAsked = true;
    const answer = await (fetch as CustomFetch)(...call);
    // The library takes a nonce to mean that an id_token has to come, and looks at it when the answer is here. Where
    // none comes, there is nothing that a nonce could be in.
    if (await lacksIdToken(answer.clone())) {
      delete checks.expectedNonce;
    }
    return answer;
  };
  try {
    return await authorizationCodeGrant(client, url, checks);
  } catch (error) {
    throw failureOf(error, wasAsked);
  } finally {
    client[customFetch] = fetch as CustomFetch;
  }
}

async function lacksIdToken(answer: Response): Promise<boolean> {
  try {
    return ((await answer.json()) as Record<string, unknown>).id_token === undefined;
  } catch {
    return false; // the library says what is wrong with it
  }
}

async function userInfo(client: Configuration, token: string): Promise<Record<string, unknown>> {
  try {
    return await fetchUserInfo(client, token, skipSubjectCheck);
  } catch (error) {
    if (error instanceof WWWAuthenticateChallengeError) {
      throw refused('Sign in again and allow the dashboard to see who you are.', error);
    }
    throw awayOf(error);
  }
}

function nameIn(claims: Record<string, unknown>): string | undefined {
  const name = NAMES.map((claim) => claims[claim]).find((value) => typeof value === 'string' && value !== '');
  // No character is cut in two.
  return name === undefined
    ? undefined
    : (name as string).slice(0, LONGEST_NAME).replace(/\p{Surrogate}$/u, '');
}

/** @param wasAsked whether UAA itself was; before that, all that can be wrong is the address */
function failureOf(error: unknown, wasAsked: boolean): SignInRefused | PlatformAway {
  if (error instanceof AuthorizationResponseError) {
    return refusalOf(error);
  }
  if (!wasAsked) {
    return refused('Open the dashboard again, since this answer belongs to another sign-in.', error);
  }
  if (error instanceof WWWAuthenticateChallengeError) {
    return clientRefused(error);
  }
  if (error instanceof ResponseBodyError) {
    const { status, error: code } = error;
    if (status >= 500 || status === 429 || PASSING.has(code)) {
      return awayOf(error);
    }
    return CLIENT_REFUSED.has(code)
      ? clientRefused(error)
      : refused('Sign in again, since this sign-in was used already or took too long.', error);
  }
  return awayOf(error);
}

/** What UAA said by way of the browser. */
function refusalOf(error: AuthorizationResponseError): SignInRefused | PlatformAway {
  if (PASSING.has(error.error)) {
    return awayOf(error);
  }
  return error.error === 'access_denied'
    ? refused('Sign in again and allow the dashboard what it asks for, since it was not allowed.', error)
    : refused(
        "Ask Cloud Foundry's operator whether your account may use dashboards of services, since it was refused.",
        error,
      );
}

function clientRefused(error: unknown): SignInRefused {
  return refused(
    "Ask the service broker's operator to check the dashboard's client id and secret, which Cloud Foundry refuses.",
    error,
  );
}

function refused(message: string, error: unknown): SignInRefused {
  return new SignInRefused(message, { cause: new Error(reasonOf(error)) });
}
