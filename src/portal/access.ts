import type { Secret } from '../credentials/secret.js';
import type { EtcdClient } from '../etcd/client.js';
import { type EtcdErrorKind, isEtcdError } from '../etcd/errors.js';
import { rangeOfPrefix } from '../etcd/ranges.js';
import { keys } from '../records/keys.js';
import { PORTAL_REGION } from './tenants/directory.js';
import { PORTAL_USER } from './user.js';

export { PORTAL_USER };

const SIGN_IN_TIMEOUT_MS = 5_000;

/** All that a portal's own user may do. What tenants do it does as their users. */
const PERMISSIONS = [
  { permType: 'Read', prefix: keys.bindings },
  { permType: 'Read', prefix: keys.instances },
  { permType: 'Readwrite', prefix: PORTAL_REGION },
] as const;

/**
 * Makes the portals' etcd user and its role, or brings them up to date; the password is set to the one given. It may be
 * repeated at any time, and changes nothing where nothing differs: each change makes etcd look at all users again.
 * @param root a client that may change users and roles
 * @throws EtcdError
 */
export async function grantPortalAccess(
  root: Pick<EtcdClient, 'auth' | 'unauthenticated'>,
  password: Secret,
  username: string = PORTAL_USER,
): Promise<void> {
  const { auth } = root;
  await grantRole(auth, username);
  const name = username;
  const signIn = root.unauthenticated(
    'Auth',
    'authenticate',
    { name, password: password.reveal() },
    SIGN_IN_TIMEOUT_MS,
  );
  if (await unless('wrong-password', signIn)) {
    const { roles } = await auth.userGet({ name });
    if (roles.length === 1 && roles[0] === username) {
      return;
    }
  }
  const added = await unless('already-exists', auth.userAdd({ name, password: password.reveal() }));
  if (!added) {
    await auth.userChangePassword({ name, password: password.reveal() });
  }
  const { roles } = await auth.userGet({ name });
  for (const role of roles.filter((one) => one !== username)) {
    await auth.userRevokeRole({ name, role });
  }
  await auth.userGrantRole({ user: name, role: username });
}

async function grantRole(auth: EtcdClient['auth'], username: string): Promise<void> {
  const { perm } = await auth.roleGet({ role: username }).catch(async (error: unknown) => {
    if (!isEtcdError(error, 'not-found')) {
      throw error;
    }
    await unless('already-exists', auth.roleAdd({ name: username }));
    return { perm: [] };
  });
  const wanted = PERMISSIONS.map(({ permType, prefix }) => ({ permType, ...rangeOfPrefix(prefix) }));
  for (const { key, range_end } of perm) {
    if (!wanted.some((one) => one.key.equals(key) && one.range_end.equals(range_end))) {
      await auth.roleRevokePermission({ role: username, key, range_end });
    }
  }
  for (const permission of wanted) {
    const isThere = perm.some(
      ({ permType, key, range_end }) =>
        permType === permission.permType &&
        key.equals(permission.key) &&
        range_end.equals(permission.range_end),
    );
    if (!isThere) {
      await auth.roleGrantPermission({ name: username, perm: permission as never });
    }
  }
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
