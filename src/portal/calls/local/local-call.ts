import { type Codec, codecOf, type Message } from '../../../etcd/messages/codec.js';
import { Findings } from '../../rewriter/findings.js';
import { refusals } from '../../rewriter/refusal.js';
import { rewriteRequest } from '../../rewriter/requests.js';
import { scopeOf } from '../../rewriter/scope.js';
import type { AllowedCall } from '../../table/lookup.js';
import type { Held } from '../active-tenant.js';
import { statusOfRefusal } from '../admission.js';
import type { InboundCall, InboundHandlers } from '../inbound.js';
import { MAX_REQUEST_BYTES } from '../parts.js';
import { type Status, statuses } from '../status.js';

/** A local call that ends without an answer. */
export class CallFailed extends Error {
  override readonly name = 'CallFailed';

  constructor(readonly status: Status) {
    super(status.message);
  }
}

/** @param signal aborted when the client has gone @throws CallFailed and what etcd's client throws */
export type Answerer = (request: Message, signal: AbortSignal) => Promise<object>;

const found = new Findings();
/** Requests that the portal answers hold no keys; the rewriter only checks their form. */
const nowhere = scopeOf(Buffer.from('/none/'), 1);
const codecs = new Map<string, Codec>();

function codec(name: string): Codec {
  let known = codecs.get(name);
  if (known === undefined) {
    known = codecOf(name);
    codecs.set(name, known);
  }
  return known;
}

export interface LocalCallParts {
  readonly call: AllowedCall;
  readonly inbound: InboundCall;
  readonly answerer: Answerer;
  /** What an error that is not a `CallFailed` is to the tenant; logs it. */
  readonly explain: (error: Error) => Status;
  /** Once, when the call is over. */
  readonly onOver: (call: LocalCall, code: number) => void;
}

/** A call of one message each way that the portal answers itself. */
export class LocalCall implements InboundHandlers, Held {
  #message: Buffer | undefined;
  #isOver = false;
  readonly #abort = new AbortController();

  constructor(readonly parts: LocalCallParts) {}

  onMessage(message: Buffer): void {
    if (this.#message !== undefined) {
      this.finish(statuses.oneMessage);
    } else if (message.length > MAX_REQUEST_BYTES) {
      this.finish(refusals.tooLarge);
    } else {
      this.#message = message;
    }
  }

  onHalfClose(): void {
    const { call, answerer, explain } = this.parts;
    if (this.#isOver || this.#message === undefined) {
      this.finish(statuses.oneMessage);
      return;
    }
    let request: Message;
    try {
      const checked = rewriteRequest(call.request, this.#message, nowhere, found);
      request = codec(call.request.name).decode(checked);
    } catch (error) {
      this.finish(statusOfRefusal(error));
      return;
    }
    answerer(request, this.#abort.signal).then(
      (response) => this.#answer(response),
      (error: Error) => this.finish(error instanceof CallFailed ? error.status : explain(error)),
    );
  }

  onCancel(): void {
    this.#over(statuses.cancelled.code);
  }

  onDrain(): void {}

  tenantGone(status: Status): void {
    this.finish(status);
  }

  finish(status: Status): void {
    if (!this.#isOver) {
      this.#over(status.code);
      this.parts.inbound.end(status.code, status.message);
    }
  }

  #answer(response: object): void {
    if (!this.#isOver) {
      this.#over(statuses.ok.code);
      this.parts.inbound.answer(Buffer.from(codec(this.parts.call.response.name).encode(response)));
    }
  }

  #over(code: number): void {
    if (!this.#isOver) {
      this.#isOver = true;
      this.#abort.abort();
      this.parts.onOver(this, code);
    }
  }
}
