/** What went through one portal for one instance, since the portal started. */
export class Tally {
  requests = 0;
  /** Of messages, in bytes, as the tenant sent and got them. */
  received = 0;
  sent = 0;

  add({ requests, received, sent }: Tally): void {
    this.requests += requests;
    this.received += received;
    this.sent += sent;
  }
}

/** So many instances have a tally of their own; the oldest is added to those of the others when there are more. */
const MOST = 10_000;

/** The tallies of all instances at one portal. */
export class Tallies {
  readonly others = new Tally();
  readonly #tallies = new Map<string, Tally>();

  constructor(readonly most = MOST) {}

  of(deployment: string): Tally {
    let tally = this.#tallies.get(deployment);
    if (tally === undefined) {
      tally = new Tally();
      this.#tallies.set(deployment, tally);
      if (this.#tallies.size > this.most) {
        const [[oldest, its] = ['', this.others]] = this.#tallies;
        this.#tallies.delete(oldest);
        this.others.add(its);
      }
    }
    return tally;
  }

  [Symbol.iterator](): IterableIterator<[deployment: string, Tally]> {
    return this.#tallies.entries();
  }
}
