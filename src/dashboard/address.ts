/** Where the dashboard of a deployment is. */
export function dashboardUrl(publicUrl: string, deploymentId: string): string {
  return `${publicUrl}/dashboard/${deploymentId}`;
}

/** Where the platform sends a browser back to. */
export function callbackUrl(publicUrl: string): string {
  return `${publicUrl}/dashboard/callback`;
}

/**
 * An address that signs a browser in once. The token stands behind the `#`, so that browsers send it to nobody by
 * themselves and no proxy's log holds it.
 */
export function signInLink(publicUrl: string, scope: string, token: string): string {
  const url = scope === EVERY_DEPLOYMENT ? `${publicUrl}/dashboard` : dashboardUrl(publicUrl, scope);
  return `${url}#link=${token}`;
}

/** The scope of an operator's session, in place of a deployment's id. */
export const EVERY_DEPLOYMENT = '*';
