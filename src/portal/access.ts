import type { Secret } from '../credentials/secret.js';
import type { EtcdClient } from '../etcd/client.js';
import { type EtcdErrorKind, isEtcdError } from '../etcd/errors.js';
import { rangeOfPrefix } from '../etcd/ranges.js';
import { keys } from '../records/keys.js';
import { PORTAL_REGION } from './tenants/directory.js';
import { PORTAL_USER } from './user.js';

export { PORTAL_USER };

/** All that a portal's own user may do. What tenants do it does as their users. */
const PERMISSIONS = [
  { permType: 'Read', prefix: keys.bindings },
  { permType: 'Read', prefix: keys.instances },
  { permType: 'Readwrite', prefix: PORTAL_REGION },
] as const;

/**
 * Makes the portals' etcd user and its role, or brings them up to date; the password is set to the one given. It may be
 * repeated at any time.
 * @param root a client that may change users and roles
 * @throws EtcdError
 */
export async function grantPortalAccess(
  { auth }: Pick<EtcdClient, 'auth'>,
  password: Secret,
  username: string = PORTAL_USER,
): Promise<void> {
  await unless('already-exists', auth.roleAdd({ name: username }));
  const { perm } = await auth.roleGet({ role: username });
  const wanted = PERMISSIONS.map(({ permType, prefix }) => ({ permType, ...rangeOfPrefix(prefix) }));
  for (const { key, range_end } of perm) {
    if (!wanted.some((one) => one.key.equals(key) && one.range_end.equals(range_end))) {
      await auth.roleRevokePermission({ role: username, key, range_end });
    }
  }
  for (const permission of wanted) {
    await auth.roleGrantPermission({ name: username, perm: permission as never });
  }
  const added = await unless('already-exists', auth.userAdd({ name: username, password: password.reveal() }));
  if (!added) {
    await auth.userChangePassword({ name: username, password: password.reveal() });
  }
  const { roles } = await auth.userGet({ name: username });
  for (const role of roles.filter((name) => name !== username)) {
    await auth.userRevokeRole({ name: username, role });
  }
  await auth.userGrantRole({ user: username, role: username });
}

/** @returns whether it was done; false when it failed in this one way */
async function unless(kind: EtcdErrorKind, call: Promise<unknown>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (isEtcdError(error, kind)) {
      return false;
    }
    throw error;
  }
}
