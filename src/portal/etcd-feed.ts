import { type EtcdClient, type Stream, within } from '../etcd/client.js';
import { isEtcdError } from '../etcd/errors.js';
import { keyAfter, prefixEnd } from '../etcd/ranges.js';
import type { FeedEnd, FeedEntry, FeedEvent, KeyFeed, WatchListener } from './tenants/feed.js';

const PAGE = 1_000;
/** A watch asks for progress this often, and ends when it hears nothing for the second time, in milliseconds. */
const PROGRESS_EVERY_MS = 1_000;
const SILENCE_MS = 5_000;

interface KeyValue {
  key: Buffer;
  value: Buffer;
  create_revision: string;
  mod_revision: string;
}

interface WatchResponse {
  created: boolean;
  canceled: boolean;
  compact_revision: string;
  fragment: boolean;
  events: readonly { type: string; kv: KeyValue }[];
}

/** The broker's records as the directory follows them, read with the portal's own etcd user. */
export class EtcdFeed implements KeyFeed {
  constructor(readonly client: EtcdClient) {}

  async list(prefix: string, onEntry: (entry: FeedEntry) => void, signal: AbortSignal): Promise<number> {
    const range_end = prefixEnd(prefix);
    let key: Buffer = Buffer.from(prefix);
    let revision: string | undefined;
    for (;;) {
      signal.throwIfAborted();
      const page = { key, range_end, limit: PAGE };
      const answer = await this.client.kv.range(revision === undefined ? page : { ...page, revision });
      revision ??= answer.header.revision;
      for (const entry of answer.kvs) {
        onEntry(entryOf(entry));
      }
      const last = answer.kvs.at(-1);
      if (!answer.more || last === undefined) {
        return Number(revision);
      }
      key = keyAfter(last.key);
    }
  }

  async revision(signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    const { header } = await this.client.kv.range({
      key: Buffer.from('/_broker/v1/portal/'),
      count_only: true,
    });
    return Number(header.revision);
  }

  watch(prefix: string, from: number, listener: WatchListener, signal: AbortSignal): Promise<FeedEnd> {
    return new PrefixWatch(this.client, listener).run(prefix, from, signal);
  }
}

/** One watch: it ends itself when etcd is silent. */
class PrefixWatch {
  #stream: Stream<object> | undefined;
  #heardAt = performance.now();
  #revision = 0;
  #events: FeedEvent[] = [];
  #end!: (end: FeedEnd) => void;
  readonly #ended = new Promise<FeedEnd>((resolve) => {
    this.#end = resolve;
  });

  constructor(
    readonly client: EtcdClient,
    readonly listener: WatchListener,
  ) {}

  async run(prefix: string, from: number, signal: AbortSignal): Promise<FeedEnd> {
    this.#revision = from - 1;
    const abort = () => this.#end('cut');
    signal.addEventListener('abort', abort, { once: true });
    const timer = setInterval(() => this.#tick(), PROGRESS_EVERY_MS);
    try {
      this.#stream = await this.client.stream<object, WatchResponse>(
        '/etcdserverpb.Watch/Watch',
        { onMessage: (message) => this.#onMessage(message), onEnd: () => this.#end('cut') },
        within(SILENCE_MS),
      );
      const create_request = {
        key: Buffer.from(prefix),
        range_end: prefixEnd(prefix),
        start_revision: String(from),
      };
      this.#stream.write({ create_request });
      return signal.aborted ? 'cut' : await this.#ended;
    } catch (error) {
      if (isEtcdError(error, 'denied')) {
        throw error; // it will not be better by trying again soon; the follower tells of it
      }
      return 'cut';
    } finally {
      clearInterval(timer);
      signal.removeEventListener('abort', abort);
      this.#stream?.cancel();
    }
  }

  #tick(): void {
    if (performance.now() - this.#heardAt > SILENCE_MS) {
      this.#end('cut');
    } else {
      this.#stream?.write({ progress_request: {} });
    }
  }

  #onMessage(message: WatchResponse): void {
    this.#heardAt = performance.now();
    if (message.canceled) {
      if (message.compact_revision === '0') {
        // For an expired token: the next stream signs in again.
        this.client.forgetToken();
      }
      this.#end(message.compact_revision === '0' ? 'cut' : 'compacted');
      return;
    }
    for (const { type, kv } of message.events) {
      const entry = entryOf(kv);
      this.#events.push(
        type === 'Delete'
          ? { type: 'delete', key: entry.key, modRevision: entry.modRevision }
          : { type: 'put', ...entry },
      );
      this.#revision = entry.modRevision;
    }
    if (message.fragment) {
      return;
    }
    if (this.#events.length > 0) {
      this.listener.onEvents(this.#events.splice(0));
    } else {
      // Old etcds answer a request for progress with a revision whose events they have yet to send
      // (github.com/etcd-io/etcd issue 15220), so it is a sign of life and no more.
      this.listener.onProgress(this.#revision);
    }
  }
}

function entryOf({ key, value, create_revision, mod_revision }: KeyValue): FeedEntry {
  return {
    key: key.toString('utf8'),
    value,
    createRevision: Number(create_revision),
    modRevision: Number(mod_revision),
  };
}
