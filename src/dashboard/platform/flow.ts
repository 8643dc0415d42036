import { SealError } from '../../broker/errors.js';
import type { Seals } from '../../broker/ports.js';
import { Secret } from '../../credentials/secret.js';
import { SignInRefused } from './errors.js';

const GOOD_FOR_MS = 10 * 60_000;
/** The clock of the replica that began may be ahead of this one's. */
const CLOCK_SKEW_MS = 60_000;
const LONGEST = 4096;

/** What has to be known again when the browser comes back. */
export interface Flow {
  /** The deployment whose page is signed in to. */
  deployment_id: string;
  redirect_uri: string;
  state: string;
  nonce: string;
  /** PKCE's. */
  verifier: string;
  /** When it began, in milliseconds since 1970. */
  at: number;
}

export function sealFlow(seals: Seals, flow: Flow): string {
  return seals.seal(new Secret(JSON.stringify(flow)), purposeOf(flow.deployment_id));
}

/** @throws SignInRefused unless it was sealed for this deployment within ten minutes */
export function openFlow(seals: Seals, text: string, deploymentId: string, now: number): Flow {
  const flow = text.length <= LONGEST ? opened(seals, text, deploymentId) : undefined;
  if (flow?.deployment_id !== deploymentId) {
    throw new SignInRefused(
      'Open the dashboard again and allow cookies, since this sign-in did not begin in this browser.',
    );
  }
  const age = now - flow.at;
  // So written that what is not a number is refused.
  if (!(age >= -CLOCK_SKEW_MS && age <= GOOD_FOR_MS)) {
    throw new SignInRefused('Sign in again, since this sign-in took longer than ten minutes.');
  }
  return flow;
}

function opened(seals: Seals, text: string, deploymentId: string): Flow | undefined {
  try {
    return JSON.parse(seals.open(text, purposeOf(deploymentId)).reveal());
  } catch (error) {
    if (error instanceof SealError) {
      return undefined;
    }
    throw error;
  }
}

const purposeOf = (deploymentId: string) => `dashboard-sign-in/${deploymentId}`;
