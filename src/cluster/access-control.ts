import { Permission } from 'etcd3/lib/rpc.js';
import type { AccessNames } from '../broker/model.js';
import type { Secret } from '../credentials/secret.js';
import type { EtcdClient } from '../etcd/client.js';
import { EtcdError, type EtcdErrorKind } from '../etcd/errors.js';
import { rangeOfPrefix } from '../etcd/ranges.js';

/** All roles and users of this broker carry this prefix, the deployment's id and a random part. */
const NAME = /^d-[0-9a-f]{24}-[0-9a-f]{16}$/;

/** Whether a role or user is one that this broker makes. */
export function isBindingName(name: string): boolean {
  return NAME.test(name);
}

/** Called before each single step; throws to stop between two of them. */
export type BeforeStep = () => void;

/**
 * So many bindings are given their access at once; others wait for them. etcd makes these changes one after another
 * anyway, and on a slow cluster calls would pile up.
 */
const MOST_GRANTING = 64;

/**
 * Roles and users in a cluster. Each step can be repeated: what is there already, or is gone already, is what was
 * asked for.
 */
export class AccessControl {
  #granting = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(readonly connection: EtcdClient) {}

  /** The names of this broker's roles and users that exist; others are not its business. */
  async names(): Promise<{ roles: Set<string>; users: Set<string> }> {
    const { auth } = this.connection;
    const [{ roles }, { users }] = await Promise.all([auth.roleList(), auth.userList()]);
    return { roles: new Set(roles.filter(isBindingName)), users: new Set(users.filter(isBindingName)) };
  }

  /**
   * Makes the role and the user with its password, gives the role its permission and the user the role. What does
   * not need each other goes side by side.
   * @throws EtcdError
   */
  async grant(names: AccessNames, password: Secret, before: BeforeStep): Promise<void> {
    if (this.#granting >= MOST_GRANTING) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#granting += 1;
    }
    try {
      await this.#grant(names, password, before);
    } finally {
      // Whoever waits longest takes the place over.
      const next = this.#waiting.shift();
      if (next === undefined) {
        this.#granting -= 1;
      } else {
        next();
      }
    }
  }

  async #grant(names: AccessNames, password: Secret, before: BeforeStep): Promise<void> {
    const { auth } = this.connection;
    const role = this.#makeRole(names.role, before);
    const user = this.#makeUser(names.username, password, before);
    await allEnded([
      role.then(() => {
        before();
        return auth.roleGrantPermission({
          name: names.role,
          perm: { permType: permissionOf(names), ...rangeOfPrefix(names.key_prefix) },
        });
      }),
      Promise.all([role, user]).then(() => {
        before();
        return auth.userGrantRole({ user: names.username, role: names.role });
      }),
      user,
    ]);
    await this.connection.settle();
  }

  async #makeRole(name: string, before: BeforeStep): Promise<void> {
    before();
    await tolerate('already-exists', this.connection.auth.roleAdd({ name }));
  }

  async #makeUser(name: string, password: Secret, before: BeforeStep): Promise<void> {
    const { auth } = this.connection;
    before();
    const added = await tolerate('already-exists', auth.userAdd({ name, password: password.reveal() }));
    if (!added) {
      before();
      // It may be the work of an attempt that was interrupted, with a password that was lost with it.
      await auth.userChangePassword({ name, password: password.reveal() });
    }
  }

  /**
   * Removes the user, which ends its tokens, and then the role.
   * @throws EtcdError
   */
  async revoke(names: Pick<AccessNames, 'role' | 'username'>, before: BeforeStep): Promise<void> {
    const { auth } = this.connection;
    before();
    await tolerate('not-found', auth.userDelete({ name: names.username }));
    before();
    await tolerate('not-found', auth.roleDelete({ role: names.role }));
    await this.connection.settle();
  }
}

function permissionOf({ access }: AccessNames): keyof typeof Permission {
  // The names in the protocol are the keys of the enumeration, which is what the codec takes.
  return Permission[
    access === 'readonly' ? Permission.Read : Permission.Readwrite
  ] as keyof typeof Permission;
}

/** Waits for every one, so that no step is still under way when the caller gives up; then throws what went wrong. */
async function allEnded(steps: readonly Promise<unknown>[]): Promise<void> {
  for (const ended of await Promise.allSettled(steps)) {
    if (ended.status === 'rejected') {
      throw ended.reason;
    }
  }
}

/** Whether the call was carried out; false when it failed in the one way that is as good. */
async function tolerate(kind: EtcdErrorKind, call: Promise<unknown>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (error instanceof EtcdError && error.kind === kind) {
      return false;
    }
    throw error;
  }
}
