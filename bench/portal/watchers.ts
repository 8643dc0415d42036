import { type Call, Connection, type ConnectionTarget } from '../../src/etcd/transport/connection.js';
import type { LaneRequests } from './lane.js';

const OPEN_TIMEOUT_MS = 30_000;
const POLL_MS = 1;
/** WatchResponse's fields, as tags of Protocol Buffers. */
const CREATED = 0x18;
const EVENT = 0x5a;

/** Streams with one watch each. */
export class Watchers {
  readonly #connections: Connection[] = [];
  readonly #calls: Call[] = [];
  #created = 0;
  #events = 0;
  #failure: string | undefined;

  /** Waits until all watches are there. */
  static async open(
    target: ConnectionTarget,
    token: string,
    { path, messages }: LaneRequests,
    count: number,
    connections: number,
  ): Promise<Watchers> {
    const watchers = new Watchers();
    for (let index = 0; index < connections; index += 1) {
      watchers.#connections.push(await Connection.open(target));
    }
    for (let index = 0; index < count; index += 1) {
      const connection = watchers.#connections[index % connections] as Connection;
      const call = connection.call(path, token, {
        onMessage: (message) => watchers.#take(message),
        onEnd: ({ code, message }) => {
          watchers.#failure ??= `A watch ended with ${code}: ${message}`;
        },
      });
      call.write(messages[0] as Buffer);
      watchers.#calls.push(call);
    }
    await watchers.#until(() => watchers.#created === count, performance.now() + OPEN_TIMEOUT_MS);
    return watchers;
  }

  /** Waits until each has got so many events. */
  received(events: number, deadline: number): Promise<void> {
    const wanted = events * this.#calls.length;
    return this.#until(() => this.#events >= wanted, deadline);
  }

  close(): void {
    for (const connection of this.#connections) {
      connection.close();
    }
  }

  async #until(sign: () => boolean, deadline: number): Promise<void> {
    while (!sign()) {
      if (this.#failure !== undefined || performance.now() > deadline) {
        const state = `${this.#created} watches, ${this.#events} events`;
        throw new Error(this.#failure ?? `Waited in vain: ${state}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Counts the events of a WatchResponse without decoding it: all its fields are varints or have a length. */
  #take(message: Buffer): void {
    let at = 0;
    while (at < message.length) {
      const tag = message[at] as number;
      let value = 0;
      let scale = 1;
      let byte: number;
      at += 1;
      do {
        byte = message[at] as number;
        value += (byte & 0x7f) * scale;
        scale *= 128;
        at += 1;
      } while (byte > 0x7f);
      if ((tag & 7) === 2) {
        at += value;
      }
      if (tag === EVENT) {
        this.#events += 1;
      } else if (tag === CREATED) {
        this.#created += value;
      }
    }
  }
}
