import { Secret } from '../credentials/secret.js';
import type { Problems } from './error.js';
import { readCertificates } from './pem.js';
import { publicUrl, type Settings } from './settings.js';

/** How people sign in to the dashboard with their account at Cloud Foundry. */
export interface DashboardSettings {
  /** The Cloud Controller's address, without a trailing slash. */
  apiUrl: string;
  /** Of the OAuth client that the platform makes from the catalog (OSB 2.17, "Dashboard Client Object"). */
  clientId: string;
  clientSecret: Secret;
  /** PEM; the authority of the platform's certificates where it is not a public one. */
  caCertificate?: string;
}

const CLIENT_ID = 'compose-etcd-dashboard';

/**
 * @param cloudFoundryApi the platform that the broker runs on itself
 * @param hasPublicUrl whether it is known where browsers reach the broker
 * @returns undefined where links alone sign in
 */
export function readDashboard(
  settings: Settings,
  cloudFoundryApi: string | undefined,
  hasPublicUrl: boolean,
  problems: Problems,
): DashboardSettings | undefined {
  const { DASHBOARD_CLIENT_SECRET: clientSecret, CF_API_CA_CERT: authority } = settings;
  if (clientSecret === undefined) {
    return undefined;
  }
  const apiUrl = publicUrl(settings.CF_API_URL ?? cloudFoundryApi ?? '');
  if (apiUrl === undefined) {
    problems.add(
      'CF_API_URL is not set but DASHBOARD_CLIENT_SECRET is; set it to the address of the Cloud Controller ("cf api" prints it), or unset both.',
    );
  }
  if (!hasPublicUrl) {
    problems.add(
      'PUBLIC_URL is not set but DASHBOARD_CLIENT_SECRET is; set it to where browsers reach the broker, since the platform sends them back there.',
    );
  }
  const caCertificate = authority && problems.attempt(() => readCertificates(authority, 'CF_API_CA_CERT'));
  return apiUrl === undefined
    ? undefined
    : {
        apiUrl,
        clientId: settings.DASHBOARD_CLIENT_ID ?? CLIENT_ID,
        clientSecret: new Secret(clientSecret),
        ...(caCertificate ? { caCertificate } : {}),
      };
}
