import type { Access } from '../../broker/model.js';
import type { Secret } from '../../credentials/secret.js';
import type { KeySpace, Scope } from './key-space.js';
import type { SealOpener } from './records.js';

/** Why a tenant is gone, for logs and metrics. */
export type GoneReason = 'binding' | 'instance' | 'password';

/** What an instance's record and its plan say; replaced as a whole when the record changes. */
export interface InstanceSettings {
  readonly instanceId: string;
  readonly deploymentId: string;
  /** How much it was scaled. */
  readonly units: number;
  /** How many bytes of keys and values the instance may hold. */
  readonly quotaBytes: number;
  /** A backup is being put in place of all that it holds: its tenants' calls wait. */
  readonly isHeld: boolean;
  /** The parameter `whitelist` as it is in the record; undefined lets everybody in. */
  readonly whitelist: unknown;
}

/** One instance, shared by its tenants. */
export class Instance {
  #listeners: Set<(settings: InstanceSettings) => void> | undefined;

  constructor(public settings: InstanceSettings) {}

  /** @returns a function that takes the listener away again */
  onChange(listener: (settings: InstanceSettings) => void): () => void {
    this.#listeners ??= new Set();
    const listeners = this.#listeners.add(listener);
    return () => listeners.delete(listener);
  }

  change(settings: InstanceSettings): void {
    this.settings = settings;
    for (const listener of this.#listeners ?? []) {
      listener(settings);
    }
  }
}

/**
 * A binding whose credentials work. When they stop working, the object is gone for good, its listeners are told within
 * the same turn, and a binding that comes back gets another object.
 */
export class Tenant {
  #gone: GoneReason | undefined;
  // Private, so that a tenant that is printed or logged shows no secret.
  readonly #passwordDigest: string;
  #sealedEtcdPassword: string;
  /** Most tenants are idle: no set until somebody listens. */
  #listeners: Set<(reason: GoneReason) => void> | undefined;

  constructor(
    readonly username: string,
    readonly access: Access,
    readonly keySpace: KeySpace,
    readonly instance: Instance,
    passwordDigest: string,
    sealedEtcdPassword: string,
  ) {
    this.#passwordDigest = passwordDigest;
    this.#sealedEtcdPassword = sealedEtcdPassword;
  }

  /** The SHA-256 of the password, as a latin1 text of 32 characters. */
  get passwordDigest(): string {
    return this.#passwordDigest;
  }

  get scope(): Scope {
    return this.keySpace.scope;
  }

  get isGone(): boolean {
    return this.#gone !== undefined;
  }

  /** For signing in to etcd as this user. @throws SealError */
  etcdPassword(seals: SealOpener): Secret {
    return seals.open(this.#sealedEtcdPassword, this.username);
  }

  /**
   * Calls the listener once when the tenant is gone, at once when it is gone already.
   * @returns a function that takes the listener away again
   */
  onGone(listener: (reason: GoneReason) => void): () => void {
    if (this.#gone !== undefined) {
      listener(this.#gone);
      return () => undefined;
    }
    this.#listeners ??= new Set();
    const listeners = this.#listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** The same password under another encryption key. Only for the table of tenants. */
  reseal(sealedEtcdPassword: string): void {
    this.#sealedEtcdPassword = sealedEtcdPassword;
  }

  /** Only for the table of tenants. */
  go(reason: GoneReason): void {
    if (this.#gone === undefined) {
      this.#gone = reason;
      const listeners = this.#listeners ?? [];
      this.#listeners = undefined;
      for (const listener of listeners) {
        listener(reason);
      }
    }
  }
}
