import type { InboundCall, InboundHandlers } from '../inbound.js';
import { Code, statuses } from '../status.js';

/** `HealthCheckResponse { status: SERVING }` of grpc.health.v1, and NOT_SERVING. */
const SERVING = Buffer.from([0x08, 1]);
const NOT_SERVING = Buffer.from([0x08, 2]);

/** grpc.health.v1.Health for the portal as a whole, the service `''`. It needs no token, as in etcd. */
export class Health implements InboundHandlers {
  #message: Buffer | undefined;

  constructor(
    readonly inbound: InboundCall,
    readonly isServing: () => boolean,
    /** Those that watch, and this one once it does. */
    readonly watching: Set<Health>,
    readonly isDraining: () => boolean,
  ) {}

  get isCheck(): boolean {
    return this.inbound.path.endsWith('/Check');
  }

  /** The portal stops. */
  draining(): void {
    this.watching.delete(this);
    this.inbound.sendMessage(NOT_SERVING);
    this.#end(statuses.stopped.code, statuses.stopped.message);
  }

  onMessage(message: Buffer): void {
    this.#message ??= message;
  }

  onHalfClose(): void {
    // The only field is the name of a service, so anything but an empty message asks for one that is not here.
    if (this.#message === undefined) {
      this.#end(statuses.oneMessage.code, statuses.oneMessage.message);
    } else if (this.#message.length > 0 && !this.#message.equals(Buffer.from([0x0a, 0]))) {
      this.#end(Code.NOT_FOUND, 'unknown service');
    } else if (this.isDraining() && !this.isCheck) {
      this.draining();
    } else {
      const answer = this.isServing() ? SERVING : NOT_SERVING;
      if (this.isCheck) {
        this.inbound.answer(answer);
      } else {
        this.watching.add(this);
        this.inbound.sendMessage(answer);
      }
    }
  }

  onCancel(): void {
    this.watching.delete(this);
  }

  onDrain(): void {}

  #end(code: number, message: string): void {
    this.inbound.end(code, message);
  }
}
