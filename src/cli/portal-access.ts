import { randomBytes } from 'node:crypto';
import { Secret } from '../credentials/secret.js';
import { grantPortalAccess, PORTAL_USER } from '../portal/access.js';
import type { Output } from './output.js';
import type { Tools } from './tools.js';

/**
 * `portal-access`: makes the portals' etcd user, or brings it up to date. Its password is PORTAL_ETCD_PASSWORD; without
 * one it is made and printed, and portals that use another one are signed out.
 */
export async function portalAccess({ cluster, portalLogin }: Tools, output: Output): Promise<number> {
  const { username = PORTAL_USER, password } = portalLogin ?? {};
  const made = new Secret(randomBytes(24).toString('base64url'));
  await grantPortalAccess(cluster.client, password ?? made, username);
  const shown = password === undefined ? { password: made.reveal() } : {};
  if (output.json) {
    output.line(JSON.stringify({ username, ...shown }));
    return 0;
  }
  output.line('The portals may read bindings and instances and keep their own records, nothing else.');
  if (password === undefined) {
    output.line('Set for each portal:');
    output.line(`  PORTAL_ETCD_USERNAME=${username}`);
    output.line(`  PORTAL_ETCD_PASSWORD=${made.reveal()}`);
  }
  return 0;
}
