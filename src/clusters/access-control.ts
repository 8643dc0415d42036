import { Permission } from 'etcd3';
import type { AccessNames } from '../broker/model.js';
import type { Secret } from '../credentials/secret.js';
import type { Connection } from './connection.js';
import { EtcdError, type EtcdErrorKind } from './etcd-errors.js';

/** All roles and users of this broker carry this prefix, the deployment's id and a random part. */
const NAME = /^d-[0-9a-f]{24}-[0-9a-f]{16}$/;

/** Whether a role or user is one that this broker makes. */
export function isBindingName(name: string): boolean {
  return NAME.test(name);
}

/** Called before each single step; throws to stop between two of them. */
export type BeforeStep = () => void;

/**
 * Roles and users in a cluster. Each step can be repeated: what is there already, or is gone already, is what was
 * asked for.
 */
export class AccessControl {
  constructor(readonly connection: Connection) {}

  /**
   * Makes the role with its permission and, beside it, the user with its password; then joins them.
   * @throws EtcdError
   */
  async grant(names: AccessNames, password: Secret, before: BeforeStep): Promise<void> {
    // Both have ended when this goes on or gives up, so no call is under way when a caller then removes its work.
    const halves = await Promise.allSettled([
      this.#makeRole(names, before),
      this.#makeUser(names.username, password, before),
    ]);
    for (const half of halves) {
      if (half.status === 'rejected') {
        throw half.reason;
      }
    }
    before();
    await this.connection.auth.userGrantRole({ user: names.username, role: names.role });
  }

  async #makeRole(names: AccessNames, before: BeforeStep): Promise<void> {
    const { auth } = this.connection;
    before();
    await tolerate('already-exists', auth.roleAdd({ name: names.role }));
    before();
    await auth.roleGrantPermission({
      name: names.role,
      perm: {
        permType: permissionOf(names),
        key: Buffer.from(names.key_prefix),
        range_end: endOf(names.key_prefix),
      },
    });
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
  }
}

function permissionOf({ access }: AccessNames): keyof typeof Permission {
  // The names in the protocol are the keys of the enumeration, which is what the codec takes.
  return Permission[
    access === 'readonly' ? Permission.Read : Permission.Readwrite
  ] as keyof typeof Permission;
}

/** Every prefix ends with `/`, so the range ends where `/` would be `0`, and `…/a/` never covers `…/ab/`. */
function endOf(prefix: string): Buffer {
  const end = Buffer.from(prefix, 'utf8');
  end[end.length - 1] = '0'.charCodeAt(0);
  return end;
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
