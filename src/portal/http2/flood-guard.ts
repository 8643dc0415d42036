import { ConnectionError, ErrorCode } from '../../http2/errors.js';
import type { ConnectionLimits } from './limits.js';

/** What a SETTINGS frame costs: it is answered, and applied to every stream. */
const SETTINGS_COST = 10;
/** An honest client sends up to two WINDOW_UPDATEs and one PING for a DATA frame. */
const EARNED_BY_WORK = 3;

/** Token buckets for what a peer may do often but not without end. {@link tick} refills them. */
export class FloodGuard {
  readonly #limits: ConnectionLimits;
  #resets: number;
  #controls: number;

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
    this.#resets = limits.resetBurst;
    this.#controls = limits.controlBurst;
  }

  /** A stream ended early, by the peer or by its fault. @throws ConnectionError */
  reset(): void {
    if (--this.#resets < 0) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'too many resets');
    }
  }

  /** A frame that does no work. @throws ConnectionError */
  control(): void {
    this.#spend(1);
  }

  /** @throws ConnectionError */
  settings(): void {
    this.#spend(SETTINGS_COST);
  }

  /** A stream was opened, or a DATA frame went or came. */
  work(): void {
    if (this.#controls < this.#limits.controlBurst) {
      this.#controls += EARNED_BY_WORK;
    }
  }

  tick(elapsedMs: number): void {
    const { resetBurst, resetsPerSecond, controlBurst, controlsPerSecond } = this.#limits;
    this.#resets = Math.min(resetBurst, this.#resets + (resetsPerSecond * elapsedMs) / 1_000);
    this.#controls = Math.min(controlBurst, this.#controls + (controlsPerSecond * elapsedMs) / 1_000);
  }

  #spend(cost: number): void {
    this.#controls -= cost;
    if (this.#controls < 0) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'too many frames that do no work');
    }
  }
}
