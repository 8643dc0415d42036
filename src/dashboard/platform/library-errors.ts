import {
  AuthorizationResponseError,
  ClientError,
  ResponseBodyError,
  WWWAuthenticateChallengeError,
} from 'openid-client';
import { PlatformAway } from './errors.js';

/** Codes of OAuth 2 are written so (RFC 6749); what is not may be anything. */
const CODE = /^[a-z_]{1,50}$/;

/**
 * What `openid-client` says of a failure, for the operator. The errors themselves hold whole answers, with their
 * tokens, so they go no further.
 */
export function reasonOf(error: unknown): string {
  if (error instanceof ResponseBodyError || error instanceof AuthorizationResponseError) {
    return `UAA answered with the error ${CODE.test(error.error) ? error.error : 'of an unknown form'}.`;
  }
  if (error instanceof WWWAuthenticateChallengeError) {
    return `UAA answered ${error.status}.`;
  }
  if (error instanceof ClientError) {
    // That of the library below says more. Both are fixed texts; what lies deeper quotes answers.
    return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
  }
  return error instanceof Error ? error.name : 'unknown';
}

/** The failure of a call, where it is not the person's to mend. */
export function awayOf(error: unknown): PlatformAway {
  if (error instanceof PlatformAway) {
    return error;
  }
  if (error instanceof ClientError && error.cause instanceof PlatformAway) {
    return error.cause;
  }
  return new PlatformAway(reasonOf(error));
}
