import { ErrorCode } from '../../http2/errors.js';
import type { ConnectionLimits } from './limits.js';

/** What {@link Liveness} looks at. */
export interface ConnectionState {
  /** Preface and settings have been exchanged. */
  readonly greeted: boolean;
  readonly streamsEver: boolean;
  readonly streams: number;
  /** A frame or a header block is unfinished. */
  readonly incomplete: boolean;
  /** Counts what came: any number that changes with each frame. */
  readonly frames: number;
  /** Data or answers wait to be sent. */
  readonly waiting: boolean;
  /** Counts what was sent: any number that grows with each byte. */
  readonly sent: number;
}

export interface End {
  readonly code: number;
  readonly reason: string;
}

/** Decides when a connection is asked for a sign of life, and when it has to end because nothing happens. */
export class Liveness {
  readonly #limits: ConnectionLimits;
  #ageMs = 0;
  #silentMs = 0;
  #pingMs: number | undefined;
  #idleMs = 0;
  #incompleteMs = 0;
  #stalledMs = 0;
  #frames = 0;
  #sent = 0;

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
  }

  /** Whether nothing but PING has happened for a while. */
  get idle(): boolean {
    return this.#idleMs > 10_000;
  }

  received(): void {
    this.#silentMs = 0;
    this.#pingMs = undefined;
  }

  tick(elapsedMs: number, state: ConnectionState): 'ping' | End | undefined {
    const limits = this.#limits;
    this.#ageMs += elapsedMs;
    this.#silentMs += elapsedMs;
    this.#idleMs = state.streams > 0 ? 0 : this.#idleMs + elapsedMs;
    this.#incompleteMs =
      state.incomplete && state.frames === this.#frames ? this.#incompleteMs + elapsedMs : 0;
    this.#stalledMs = state.waiting && state.sent <= this.#sent ? this.#stalledMs + elapsedMs : 0;
    this.#frames = state.frames;
    this.#sent = state.sent;
    if (!state.greeted && this.#ageMs >= limits.settingsTimeoutMs) {
      return { code: ErrorCode.SETTINGS_TIMEOUT, reason: 'no settings in time' };
    }
    if (!state.streamsEver && this.#ageMs >= limits.firstRequestTimeoutMs) {
      return { code: ErrorCode.NO_ERROR, reason: 'no request in time' };
    }
    if (this.#idleMs >= limits.idleTimeoutMs) {
      return { code: ErrorCode.NO_ERROR, reason: 'idle for too long' };
    }
    if (this.#incompleteMs >= limits.frameTimeoutMs) {
      return { code: ErrorCode.ENHANCE_YOUR_CALM, reason: 'a frame is not finished in time' };
    }
    if (this.#stalledMs >= limits.stallTimeoutMs) {
      return { code: ErrorCode.ENHANCE_YOUR_CALM, reason: 'the peer takes nothing of what is sent' };
    }
    if (this.#pingMs !== undefined) {
      this.#pingMs += elapsedMs;
      const dead = this.#pingMs >= limits.keepaliveTimeoutMs;
      return dead ? { code: ErrorCode.NO_ERROR, reason: 'no answer to a ping' } : undefined;
    }
    if (this.#silentMs >= limits.keepaliveIntervalMs && state.greeted) {
      this.#pingMs = 0;
      return 'ping';
    }
    return undefined;
  }
}
