import { deploymentPrefix } from '../../broker/tenant-prefix.js';
import { KeySpace, ownerOfTag, type TagClaim } from './key-space.js';
import type { BindingFacts } from './records.js';
import { type GoneReason, Instance, type InstanceSettings, Tenant } from './tenant.js';

export interface KnownBinding extends BindingFacts {
  /** See {@link Tenant.passwordDigest}. */
  passwordDigest: string;
}

/** An instance with its bindings; bindings can be told before their instance, since two watches tell them. */
interface InstanceEntry {
  name: string;
  instance: Instance | undefined;
  createRevision: number;
  bindings: Map<string, BindingEntry>;
}

/** What can serve; `tenant` is there while the instance serves too. */
interface BindingEntry {
  facts: KnownBinding;
  tenant: Tenant | undefined;
}

/** A key space in use. Its age is its instance's: bindings come and go by rotation, and a tag must not change hands. */
interface KeySpaceEntry extends TagClaim {
  keySpace: KeySpace;
  uses: number;
}

/**
 * Instances and bindings joined into tenants. No I/O: it is told of records by their names below their region
 * (`<instance>` and `<instance>/<binding>`, as encoded in the key).
 */
export class TenantTable {
  readonly #instances = new Map<string, InstanceEntry>();
  readonly #byUsername = new Map<string, Tenant>();
  readonly #keySpaces = new Map<string, KeySpaceEntry>();
  /** Lease tag to the key spaces that have it: nearly always one. */
  readonly #byTag = new Map<number, KeySpaceEntry[]>();

  constructor(
    /** Told of what should never be, for the log. */
    readonly report: (detail: Readonly<Record<string, string>>, text: string) => void,
    /** Tests give two prefixes the same tag. */
    readonly makeKeySpace: (prefix: string) => KeySpace = (prefix) => new KeySpace(prefix),
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
      for (const [binding, known] of entry.bindings) {
        this.#start(entry, binding, known);
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
    const known = entry.bindings.get(name);
    if (known !== undefined) {
      if (isSameTenant(known.facts, facts)) {
        known.facts = facts;
        known.tenant?.reseal(facts.sealedPassword);
        return;
      }
      this.#stop(known, known.facts.passwordDigest === facts.passwordDigest ? 'binding' : 'password');
    }
    const binding: BindingEntry = { facts, tenant: undefined };
    entry.bindings.set(name, binding);
    this.#start(entry, name, binding);
  }

  removeBinding(name: string): void {
    const entry = this.#instances.get(instanceOf(name));
    const binding = entry?.bindings.get(name);
    if (entry !== undefined && binding !== undefined) {
      entry.bindings.delete(name);
      this.#stop(binding, 'binding');
      this.#forgetUnused(entry);
    }
  }

  #instance(name: string): InstanceEntry {
    let entry = this.#instances.get(name);
    if (entry === undefined) {
      entry = { name, instance: undefined, createRevision: 0, bindings: new Map() };
      this.#instances.set(name, entry);
    }
    return entry;
  }

  #forgetUnused(entry: InstanceEntry): void {
    if (entry.instance === undefined && entry.bindings.size === 0) {
      this.#instances.delete(entry.name);
    }
  }

  #start(entry: InstanceEntry, name: string, binding: BindingEntry): void {
    const { instance } = entry;
    const { username, access, keyPrefix, passwordDigest, sealedPassword } = binding.facts;
    if (instance === undefined) {
      return;
    }
    // User names are random and used once: a second record of one is damage, and must not take over the first.
    if (this.#byUsername.has(username)) {
      this.report({ binding: name }, 'Two bindings have the same user name; the later one is ignored');
      return;
    }
    if (!keyPrefix.startsWith(deploymentPrefix(instance.settings.deploymentId))) {
      this.report(
        { binding: name },
        "A binding's keys are not below its instance's deployment; it is ignored",
      );
      return;
    }
    const keySpace = this.#use(keyPrefix, entry.createRevision);
    binding.tenant = new Tenant(username, access, keySpace, instance, passwordDigest, sealedPassword);
    this.#byUsername.set(username, binding.tenant);
  }

  #stopAll(entry: InstanceEntry): void {
    for (const binding of entry.bindings.values()) {
      this.#stop(binding, 'instance');
    }
  }

  #stop(binding: BindingEntry, reason: GoneReason): void {
    const { tenant } = binding;
    if (tenant !== undefined) {
      binding.tenant = undefined;
      this.#byUsername.delete(tenant.username);
      this.#release(tenant.keySpace.prefix);
      tenant.go(reason);
    }
  }

  #use(prefix: string, createRevision: number): KeySpace {
    let entry = this.#keySpaces.get(prefix);
    if (entry === undefined) {
      const keySpace = this.makeKeySpace(prefix);
      const { leaseTag } = keySpace.scope;
      entry = { prefix, leaseTag, createRevision, keySpace, uses: 0 };
      this.#keySpaces.set(prefix, entry);
      const claims = [...(this.#byTag.get(leaseTag) ?? []), entry];
      this.#byTag.set(leaseTag, claims);
      this.#settleTag(claims);
    }
    entry.uses += 1;
    return entry.keySpace;
  }

  #release(prefix: string): void {
    const entry = this.#keySpaces.get(prefix);
    if (entry === undefined) {
      return;
    }
    entry.uses -= 1;
    if (entry.uses > 0) {
      return;
    }
    this.#keySpaces.delete(prefix);
    const others = (this.#byTag.get(entry.leaseTag) ?? []).filter((claim) => claim !== entry);
    if (others.length === 0) {
      this.#byTag.delete(entry.leaseTag);
    } else {
      this.#byTag.set(entry.leaseTag, others);
      this.#settleTag(others);
    }
  }

  #settleTag(claims: readonly KeySpaceEntry[]): void {
    const owner = ownerOfTag(claims);
    for (const claim of claims) {
      claim.keySpace.ownsLeaseTag = claim === owner;
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
