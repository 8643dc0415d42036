import { deploymentPrefix } from '../../broker/tenant-prefix.js';
import { KeySpace, ownerOfTag } from './key-space.js';
import type { BindingFacts } from './records.js';
import { type GoneReason, Instance, type InstanceSettings, Tenant } from './tenant.js';

export interface KnownBinding extends Omit<BindingFacts, 'sealedPassword'> {
  /** See {@link Tenant.passwordDigest}. */
  readonly passwordDigest: string;
}

/** An instance with its bindings; bindings can be told before their instance, since two watches tell them. */
interface InstanceEntry {
  readonly name: string;
  instance: Instance | undefined;
  createRevision: number;
  /** Copied on change, without a spread: an array that grows by `push` or a spread takes room for 17. */
  bindings: readonly BindingEntry[];
}

/** What can serve; `tenant` is there while the instance serves too. */
interface BindingEntry {
  readonly name: string;
  facts: KnownBinding;
  tenant: Tenant | undefined;
}

/**
 * Instances and bindings joined into tenants. No I/O: it is told of records by their names below their region
 * (`<instance>` and `<instance>/<binding>`, as encoded in the key).
 *
 * Of two key spaces with the same lease tag the one of the older instance owns it. Bindings come and go by rotation,
 * and the tag, with the leases under it, must not change hands then.
 */
export class TenantTable {
  readonly #instances = new Map<string, InstanceEntry>();
  readonly #byUsername = new Map<string, Tenant>();
  readonly #keySpaces = new Map<string, KeySpace>();
  /** Lease tag to the key spaces that have it: nearly always one. */
  readonly #byTag = new Map<number, readonly KeySpace[]>();

  constructor(
    /** Told of what should never be, for the log. */
    readonly report: (detail: Readonly<Record<string, string>>, text: string) => void,
    /** Tests give two prefixes the same tag. */
    readonly makeKeySpace = (prefix: string, createRevision: number) => new KeySpace(prefix, createRevision),
  ) {}

  find(username: string): Tenant | undefined {
    return this.#byUsername.get(username);
  }

  get size(): number {
    return this.#byUsername.size;
  }

  tenants(): IterableIterator<Tenant> {
    return this.#byUsername.values();
  }

  putInstance(name: string, settings: InstanceSettings, createRevision: number): void {
    const entry = this.#instance(name);
    // Deleted and made again between two lists: its tenants are others.
    if (entry.instance !== undefined && entry.createRevision !== createRevision) {
      this.#stopAll(entry);
      entry.instance = undefined;
    }
    entry.createRevision = createRevision;
    if (entry.instance === undefined) {
      entry.instance = new Instance(settings);
      for (const binding of entry.bindings) {
        this.#start(entry, binding);
      }
    } else {
      entry.instance.change(settings);
    }
  }

  removeInstance(name: string): void {
    const entry = this.#instances.get(name);
    if (entry !== undefined) {
      this.#stopAll(entry);
      entry.instance = undefined;
      this.#forgetUnused(entry);
    }
  }

  putBinding(name: string, facts: KnownBinding): void {
    const entry = this.#instance(instanceOf(name));
    let binding = entry.bindings.find((known) => known.name === name);
    if (binding === undefined) {
      binding = { name, facts, tenant: undefined };
      entry.bindings = entry.bindings.concat(binding);
    } else if (isSameTenant(binding.facts, facts)) {
      binding.facts = facts;
      binding.tenant?.reseal(facts.sealedEtcdPassword);
      return;
    } else {
      this.#stop(binding, binding.facts.passwordDigest === facts.passwordDigest ? 'binding' : 'password');
      binding.facts = facts;
    }
    this.#start(entry, binding);
  }

  removeBinding(name: string): void {
    const entry = this.#instances.get(instanceOf(name));
    const binding = entry?.bindings.find((known) => known.name === name);
    if (entry !== undefined && binding !== undefined) {
      entry.bindings = entry.bindings.filter((other) => other !== binding);
      this.#stop(binding, 'binding');
      this.#forgetUnused(entry);
    }
  }

  #instance(name: string): InstanceEntry {
    let entry = this.#instances.get(name);
    if (entry === undefined) {
      entry = { name, instance: undefined, createRevision: 0, bindings: [] };
      this.#instances.set(name, entry);
    }
    return entry;
  }

  #forgetUnused(entry: InstanceEntry): void {
    if (entry.instance === undefined && entry.bindings.length === 0) {
      this.#instances.delete(entry.name);
    }
  }

  #start(entry: InstanceEntry, binding: BindingEntry): void {
    const { instance } = entry;
    const { username, access, keyPrefix, passwordDigest, sealedEtcdPassword } = binding.facts;
    if (instance === undefined) {
      return;
    }
    // User names are random and used once: a second record of one is damage, and must not take over the first.
    if (this.#byUsername.has(username)) {
      this.report(
        { binding: binding.name },
        'Two bindings have the same user name; the later one is ignored',
      );
      return;
    }
    if (!keyPrefix.startsWith(deploymentPrefix(instance.settings.deploymentId))) {
      this.report(
        { binding: binding.name },
        "A binding's keys are not in its instance's deployment; it is ignored",
      );
      return;
    }
    const keySpace = this.#use(keyPrefix, entry.createRevision);
    binding.tenant = new Tenant(username, access, keySpace, instance, passwordDigest, sealedEtcdPassword);
    this.#byUsername.set(username, binding.tenant);
  }

  #stopAll(entry: InstanceEntry): void {
    for (const binding of entry.bindings) {
      this.#stop(binding, 'instance');
    }
  }

  #stop(binding: BindingEntry, reason: GoneReason): void {
    const { tenant } = binding;
    if (tenant !== undefined) {
      binding.tenant = undefined;
      this.#byUsername.delete(tenant.username);
      this.#release(tenant.keySpace);
      tenant.go(reason);
    }
  }

  #use(prefix: string, createRevision: number): KeySpace {
    let keySpace = this.#keySpaces.get(prefix);
    if (keySpace === undefined) {
      keySpace = this.makeKeySpace(prefix, createRevision);
      this.#keySpaces.set(prefix, keySpace);
      this.#settleTag(keySpace.leaseTag, (this.#byTag.get(keySpace.leaseTag) ?? []).concat(keySpace));
    }
    keySpace.uses += 1;
    return keySpace;
  }

  #release(keySpace: KeySpace): void {
    keySpace.uses -= 1;
    if (keySpace.uses === 0) {
      this.#keySpaces.delete(keySpace.prefix);
      const others = (this.#byTag.get(keySpace.leaseTag) ?? []).filter((other) => other !== keySpace);
      this.#settleTag(keySpace.leaseTag, others);
    }
  }

  #settleTag(leaseTag: number, claims: readonly KeySpace[]): void {
    if (claims.length === 0) {
      this.#byTag.delete(leaseTag);
      return;
    }
    this.#byTag.set(leaseTag, claims);
    const owner = ownerOfTag(claims);
    for (const claim of claims) {
      claim.ownsLeaseTag = claim === owner;
      if (claim !== owner) {
        this.report(
          { prefix: claim.prefix, owner: owner.prefix },
          'Two key spaces have the same lease tag; leases work only in the older one',
        );
      }
    }
  }
}

function instanceOf(binding: string): string {
  return binding.slice(0, binding.indexOf('/'));
}

/** A reseal changes the sealed text and nothing that a tenant could notice. */
function isSameTenant(one: KnownBinding, other: KnownBinding): boolean {
  return (
    one.username === other.username &&
    one.keyPrefix === other.keyPrefix &&
    one.access === other.access &&
    one.passwordDigest === other.passwordDigest
  );
}
