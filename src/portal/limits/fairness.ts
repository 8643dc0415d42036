/** A request that waits for its turn. */
export interface Job {
  /** In units of about one small request; a large one costs more. From 1 to 64. */
  readonly cost: number;
  /** Called once, in `submit` or later, when the request may be sent; `finish` follows when it is over. Never throws. */
  start(): void;
}

export interface FairnessLimits {
  /** So many requests of one portal are at etcd at the same time: enough to keep it busy, and no queue there. */
  readonly inFlight: number;
  /** Of these, one tenant has so many at the most: who comes next does not have to wait for an answer. */
  readonly inFlightOfOne: number;
  /** So many of one tenant wait. */
  readonly waitingOfOne: number;
  /** Cost that a tenant may spend at each turn. */
  readonly quantum: number;
}

export const FAIRNESS_LIMITS: FairnessLimits = {
  inFlight: 64,
  inFlightOfOne: 48,
  waitingOfOne: 2_000,
  quantum: 4,
};

/** A place in a tenant's queue. */
export interface Waiting {
  readonly job: Job;
  next: Waiting | undefined;
  isCancelled: boolean;
}

/** One tenant at the scheduler. */
export class Flow {
  inFlight = 0;
  waiting = 0;
  deficit = 0;
  head: Waiting | undefined;
  tail: Waiting | undefined;
  /** The ring of flows that wait and may send; undefined when this one is not in it. */
  nextActive: Flow | undefined;
}

/**
 * Deficit round robin over tenants (Shreedhar and Varghese, 1995) with a bounded number of requests in flight. Each
 * request costs constant time. While there is room and nobody waits, it costs a few comparisons.
 */
export class FairScheduler {
  #inFlight = 0;
  /** The last flow of the ring; the next one is served first. */
  #last: Flow | undefined;
  #isServing = false;
  #latest: Flow | undefined;
  #changes = 0;

  constructor(public limits: FairnessLimits = FAIRNESS_LIMITS) {}

  get inFlight(): number {
    return this.#inFlight;
  }

  /** How often another tenant than before came since the last call: 0 or 1 means that one has etcd for itself. */
  takeChanges(): number {
    const changes = this.#changes;
    this.#changes = 0;
    return changes;
  }

  /**
   * Starts a job now or later.
   * @returns 'started'; a place in the queue, for `cancel`; or 'refused' when too many of this tenant wait
   */
  submit(flow: Flow, job: Job): 'started' | 'refused' | Waiting {
    const { inFlight, inFlightOfOne, waitingOfOne } = this.limits;
    if (flow !== this.#latest) {
      this.#latest = flow;
      this.#changes += 1;
    }
    if (this.#last === undefined && this.#inFlight < inFlight && flow.inFlight < inFlightOfOne) {
      // Nobody may send and waits, so there is no order to keep. (Flows at their own limit wait outside the ring.)
      this.#start(flow, job);
      return 'started';
    }
    if (flow.waiting >= waitingOfOne) {
      return 'refused';
    }
    const place: Waiting = { job, next: undefined, isCancelled: false };
    if (flow.tail === undefined) {
      flow.head = place;
    } else {
      flow.tail.next = place;
    }
    flow.tail = place;
    flow.waiting += 1;
    this.#activate(flow);
    this.#serve();
    return place;
  }

  /** Takes a waiting job out; nothing happens when it has started. The place is passed over when its turn comes. */
  cancel(flow: Flow, place: Waiting): void {
    if (!place.isCancelled) {
      place.isCancelled = true;
      flow.waiting -= 1;
    }
  }

  /** A job that was started is over, however it ended. */
  finish(flow: Flow): void {
    flow.inFlight -= 1;
    this.#inFlight -= 1;
    this.#activate(flow);
    this.#serve();
  }

  /** Into the ring, as the one that is served last. */
  #activate(flow: Flow): void {
    if (
      flow.nextActive !== undefined ||
      flow.head === undefined ||
      flow.inFlight >= this.limits.inFlightOfOne
    ) {
      return;
    }
    flow.nextActive = this.#last?.nextActive ?? flow;
    if (this.#last !== undefined) {
      this.#last.nextActive = flow;
    }
    this.#last = flow;
  }

  #serve(): void {
    // A job that ends within its start comes back here; the loop below goes on with it.
    if (this.#isServing) {
      return;
    }
    this.#isServing = true;
    try {
      while (this.#last !== undefined && this.#inFlight < this.limits.inFlight) {
        this.#turn(this.#last.nextActive as Flow, this.#last);
      }
    } finally {
      this.#isServing = false;
    }
  }

  /** The turn of the first flow in the ring: sends one job, or gives it its quantum and moves it to the end. */
  #turn(flow: Flow, last: Flow): void {
    while (flow.head?.isCancelled) {
      this.#shift(flow);
    }
    const place = flow.head;
    if (place === undefined || flow.inFlight >= this.limits.inFlightOfOne) {
      this.#leave(flow, last);
    } else if (place.job.cost > flow.deficit) {
      flow.deficit += this.limits.quantum;
      this.#last = flow;
    } else {
      flow.deficit -= place.job.cost;
      this.#shift(flow);
      // It has started as far as `cancel` is concerned.
      place.isCancelled = true;
      flow.waiting -= 1;
      this.#start(flow, place.job);
    }
  }

  #shift(flow: Flow): void {
    flow.head = flow.head?.next;
    if (flow.head === undefined) {
      flow.tail = undefined;
    }
  }

  /** Out of the ring; what was not spent is lost, so that nobody saves up for a burst. */
  #leave(flow: Flow, last: Flow): void {
    if (flow === last) {
      this.#last = undefined;
    } else {
      last.nextActive = flow.nextActive;
    }
    flow.nextActive = undefined;
    flow.deficit = 0;
  }

  #start(flow: Flow, job: Job): void {
    flow.inFlight += 1;
    this.#inFlight += 1;
    job.start();
  }
}
