import type { Findings } from '../rewriter/findings.js';
import { denialOf } from './admission.js';
import { statuses } from './status.js';
import { StreamCall } from './stream-call.js';

/** One message, then a stream of answers: Observe and RangeStream. */
export class ServerStream extends StreamCall {
  #request: Buffer | undefined;

  protected override request(rewritten: Buffer, found: Findings): void {
    if (this.#request !== undefined) {
      this.finish(statuses.oneMessage);
      return;
    }
    const { tenant } = this.active;
    const denied = denialOf(tenant, this.call, found, this.parts.floors.of(tenant.keySpace.prefix));
    if (denied !== undefined) {
      this.finish(denied);
      return;
    }
    this.#request = rewritten;
    this.write(rewritten);
  }

  protected override response(stripped: Buffer): void {
    this.tell(stripped);
  }

  protected override reopen(): void {
    this.write(this.#request as Buffer);
  }
}
