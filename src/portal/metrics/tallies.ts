/** What went through one portal for one instance, since the portal started. */
export class Tally {
  requests = 0;
  /** Of messages, in bytes, as the tenant sent and got them. */
  received = 0;
  sent = 0;
}

/** So many instances are counted by themselves. */
const MOST = 100;

/**
 * The tallies of a portal's instances: the first that it served by themselves, and all others together. None moves
 * from one to the other, since a counter that falls looks like a restart.
 */
export class Tallies {
  readonly others = new Tally();
  readonly #tallies = new Map<string, Tally>();

  constructor(readonly most = MOST) {}

  of(deployment: string): Tally {
    const known = this.#tallies.get(deployment);
    if (known !== undefined || this.#tallies.size >= this.most) {
      return known ?? this.others;
    }
    const tally = new Tally();
    this.#tallies.set(deployment, tally);
    return tally;
  }

  [Symbol.iterator](): IterableIterator<[deployment: string, Tally]> {
    return this.#tallies.entries();
  }
}
