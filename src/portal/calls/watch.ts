import type { Findings } from '../rewriter/findings.js';
import { headerRevision } from '../upstream/answers.js';
import { statuses } from './status.js';
import { StreamCall } from './stream-call.js';
import {
  cancellation,
  cancelReason,
  compactedAnswer,
  newsOf,
  refusedCreation,
  silentCreation,
} from './watch-messages.js';

/** With the stream's token twice; with the one that other calls have had since, which may be gone too; with a new one. */
const MAX_ATTEMPTS = 4;

interface Creation {
  readonly rewritten: Buffer;
  /** Above 0 when the watch is to begin below the key space's floor. */
  readonly floor: number;
  attempts: number;
  /** The portal's own answer, for a creation that etcd never sees: clients match answers by their order. */
  readonly answer?: Buffer;
}

/** What etcd answers to a creation when the token has run out or users were changed meanwhile; old versions say only "denied". */
const AUTH_REASON = /permission denied|invalid auth token|revision of auth store is old|user name is empty/;

/**
 * Watch: many watches on one stream. Ids are etcd's own, chosen by it or by the client.
 *
 * A watch below the floor is made as a silent one, so that etcd gives it its id and its place in the order, and is then
 * ended as etcd ends a watch whose start was compacted.
 */
export class Watch extends StreamCall {
  /** Creations without an answer, in the order in which etcd will answer them. */
  #creations: Creation[] = [];
  readonly #watches = new Set<number>();
  /** Watches that the portal cancelled: etcd's answers to that are for nobody. */
  readonly #silenced = new Set<number>();
  #held = 0;
  /** An answer of etcd's to a creation, for its header. */
  #lastCreated: Buffer | undefined;

  protected override request(rewritten: Buffer, found: Findings): void {
    switch (found.watch) {
      case 'create':
        this.#create(rewritten, found);
        return;
      case 'cancel':
      case 'progress':
        // Without a stream there is no watch to cancel or to tell of.
        if (this.#held > 0) {
          this.write(rewritten);
        }
        return;
      case '':
        // etcd ignores it too.
        return;
    }
  }

  /** What was seen is no beginning for what comes: each watch ends as one does whose revision was compacted. */
  protected override instanceHeld(): void {
    if (this.#creations.length > 0 || this.#lastCreated === undefined) {
      // The order of answers would be lost.
      super.instanceHeld();
      return;
    }
    for (const watchId of this.#watches) {
      if (!this.#silenced.has(watchId)) {
        const revision = Math.max(this.parts.upstream.latestRevision, headerRevision(this.#lastCreated));
        this.tell(compactedAnswer(this.#lastCreated, watchId, revision));
        this.#silenced.add(watchId);
        this.write(cancellation(watchId));
      }
    }
  }

  protected override response(stripped: Buffer): void {
    const { watchId, created, canceled } = newsOf(stripped);
    if (created) {
      this.#created(stripped, watchId, canceled);
    } else if (canceled) {
      this.#canceled(stripped, watchId);
    } else {
      this.tell(stripped);
    }
  }

  protected override reopen(): void {
    for (const creation of this.#creations) {
      if (creation.answer === undefined) {
        this.#send(creation);
      }
    }
  }

  protected override release(): void {
    this.active.gauges.release('watches', this.#held);
    this.#held = 0;
  }

  #create(rewritten: Buffer, { lowestRevision }: Findings): void {
    if (this.active.isHeld) {
      this.finish(statuses.notSent);
      return;
    }
    const refused = this.active.gauges.acquire('watches');
    if (refused !== undefined) {
      this.#creations.push({ rewritten, floor: 0, attempts: 0, answer: refusedCreation(refused.text) });
      this.#answerOwn();
      return;
    }
    this.#held += 1;
    const floor = this.parts.floors.of(this.active.tenant.keySpace.prefix);
    const isBelow = lowestRevision > 0 && lowestRevision < floor;
    const creation = {
      rewritten: isBelow ? silentCreation(rewritten) : rewritten,
      floor: isBelow ? floor : 0,
      attempts: 0,
    };
    this.#creations.push(creation);
    this.#send(creation);
  }

  #send(creation: Creation): void {
    creation.attempts += 1;
    this.write(creation.rewritten);
  }

  #created(stripped: Buffer, watchId: number, canceled: boolean): void {
    const creation = this.#creations.shift();
    if (creation === undefined) {
      this.finish(statuses.fault);
    } else if (canceled) {
      this.#refused(stripped, creation);
    } else {
      this.#watches.add(watchId);
      this.#keep(stripped);
      this.tell(stripped);
      if (creation.floor > 0) {
        this.tell(compactedAnswer(stripped, watchId, creation.floor));
        this.#silenced.add(watchId);
        this.write(cancellation(watchId));
      }
    }
    this.#answerOwn();
  }

  /** A copy that keeps no larger buffer alive. */
  #keep(created: Buffer): void {
    this.#lastCreated = Buffer.alloc(created.length);
    created.copy(this.#lastCreated);
  }

  #answerOwn(): void {
    for (let first = this.#creations[0]; first?.answer !== undefined; first = this.#creations[0]) {
      this.#creations.shift();
      this.tell(first.answer);
    }
  }

  /** First it is sent again, since a change of users is over in a moment; then with another token; at last it is true. */
  #refused(stripped: Buffer, creation: Creation): void {
    if (creation.attempts >= MAX_ATTEMPTS || !AUTH_REASON.test(cancelReason(stripped))) {
      this.#drop();
      this.tell(stripped);
      return;
    }
    if (creation.attempts === 1) {
      this.#creations.push(creation);
      this.#send(creation);
      return;
    }
    this.renewToken();
    if (this.#watches.size > 0) {
      // The token belongs to the stream, and its other watches can't move without a gap that the client can close.
      this.finish(statuses.connectionLost);
      return;
    }
    this.dropUpstream();
    this.#creations = [creation, ...this.#creations];
    this.reopen();
  }

  #canceled(stripped: Buffer, watchId: number): void {
    if (this.#watches.delete(watchId)) {
      this.#drop();
    }
    if (!this.#silenced.delete(watchId)) {
      this.tell(stripped);
    }
  }

  #drop(): void {
    this.#held -= 1;
    this.active.gauges.release('watches');
  }
}
