import path from 'node:path';
import type { ConnectionTarget } from '../../src/etcd/transport/connection.js';
import { Peer } from './peer.js';
import type { EncodedCall } from './requests.js';

/** A way to etcd, as the load takes it. */
export interface LoadWay {
  readonly name: string;
  readonly target: ConnectionTarget;
  readonly token: string;
  readonly calls: { readonly [name: string]: EncodedCall };
}

export interface RunParams {
  readonly way: string;
  /** Which calls; in equal parts where there are several. */
  readonly calls: readonly string[];
  readonly atOnce: number;
  readonly connections: number;
  readonly ms: number;
}

export interface RunResult {
  readonly count: number;
  readonly seconds: number;
  /** In milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** Of the load itself. */
  readonly cpuSeconds: number;
}

export interface IdleParams {
  readonly way: string;
  readonly count: number;
}

export interface WatchParams {
  readonly way: string;
  readonly watchers: number;
  readonly connections: number;
  readonly puts: number;
  readonly atOnce: number;
}

/** A process that makes load and nothing else. */
export class Load {
  readonly #peer = new Peer(path.join(import.meta.dirname, 'load-process.js'));

  open(way: LoadWay): Promise<void> {
    return this.#peer.ask('open', way);
  }

  run(params: RunParams): Promise<RunResult> {
    return this.#peer.ask('run', params);
  }

  openIdle(params: IdleParams): Promise<void> {
    return this.#peer.ask('openIdle', params);
  }

  /** @returns how many were still open */
  closeIdle(): Promise<number> {
    return this.#peer.ask('closeIdle');
  }

  /** @returns events a second of all watchers together */
  watch(params: WatchParams): Promise<number> {
    return this.#peer.ask('watch', params);
  }

  stop(): Promise<void> {
    return this.#peer.stop();
  }
}
