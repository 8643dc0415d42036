import { type EtcdClient, type Stream, within } from '../etcd/client.js';

/** A watch that can't be opened in this time, in milliseconds, is given up. */
const OPEN_TIMEOUT_MS = 3_000;

interface Event {
  type: string;
  kv: { key: Buffer; value: Buffer; mod_revision: string };
}

interface WatchResponse {
  header: { revision: string };
  created: boolean;
  canceled: boolean;
  compact_revision: string;
  events: readonly Event[];
}

/** One change of a key. */
export interface KeyChange {
  type: 'put' | 'delete';
  /** Without the key space's prefix. */
  key: Buffer;
  value: Buffer;
  revision: string;
}

export interface KeyWatchHandlers {
  /** The watch tells of all that comes after this revision. */
  onStart(revision: string): void;
  onChanges(changes: readonly KeyChange[]): void;
  /** Once, unless it was cancelled. @param isCompacted what it was to begin with is not there any more */
  onEnd(isCompacted: boolean): void;
}

export interface KeyWatch {
  cancel(): void;
  /** Lets etcd wait, until {@link resume}. */
  pause(): void;
  resume(): void;
}

/**
 * Watches a range of keys, from now on or from a revision.
 * @param cut how many bytes of each key are left out: the prefix of the key space
 * @param start the first revision; one that was compacted ends the watch
 * @throws EtcdError when it can't be opened
 */
export async function watchKeys(
  client: EtcdClient,
  range: { key: Buffer; range_end?: Buffer },
  cut: number,
  start: string | undefined,
  { onStart, onChanges, onEnd }: KeyWatchHandlers,
): Promise<KeyWatch> {
  let isOver = false;
  const end = (isCompacted: boolean) => {
    if (!isOver) {
      isOver = true;
      onEnd(isCompacted);
    }
  };
  const stream: Stream<object> = await client.stream<object, WatchResponse>(
    '/etcdserverpb.Watch/Watch',
    {
      onMessage: ({ header, created, canceled, compact_revision, events }) => {
        if (created && !canceled) {
          onStart(start === undefined ? header.revision : String(BigInt(start) - 1n));
        } else if (canceled) {
          stream.cancel();
          end(compact_revision !== '0');
        } else if (events.length > 0) {
          onChanges(events.map((event) => changeOf(event, cut)));
        }
      },
      onEnd: () => end(false),
    },
    within(OPEN_TIMEOUT_MS),
  );
  stream.write({ create_request: { ...range, ...(start === undefined ? {} : { start_revision: start }) } });
  return {
    cancel: () => {
      isOver = true;
      stream.cancel();
    },
    pause: () => stream.pause(),
    resume: () => stream.resume(),
  };
}

function changeOf({ type, kv }: Event, cut: number): KeyChange {
  const { key, value, mod_revision } = kv;
  return {
    type: type === 'Delete' ? 'delete' : 'put',
    key: key.subarray(cut),
    value,
    revision: mod_revision,
  };
}
