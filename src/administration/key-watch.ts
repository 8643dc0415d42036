import { type EtcdClient, type Stream, within } from '../etcd/client.js';

/** A watch that can't be opened in this time, in milliseconds, is given up. */
const OPEN_TIMEOUT_MS = 3_000;

interface Event {
  type: string;
  kv: { key: Buffer; value: Buffer; mod_revision: string };
}

interface WatchResponse {
  canceled: boolean;
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
  onChanges(changes: readonly KeyChange[]): void;
  /** Once, unless it was cancelled. */
  onEnd(): void;
}

export interface KeyWatch {
  cancel(): void;
  /** Lets etcd wait, until {@link resume}. */
  pause(): void;
  resume(): void;
}

/**
 * Watches a range of keys from now on.
 * @param cut how many bytes of each key are left out: the prefix of the key space
 * @throws EtcdError when it can't be opened
 */
export async function watchKeys(
  client: EtcdClient,
  range: { key: Buffer; range_end?: Buffer },
  cut: number,
  { onChanges, onEnd }: KeyWatchHandlers,
): Promise<KeyWatch> {
  let isOver = false;
  const end = () => {
    if (!isOver) {
      isOver = true;
      onEnd();
    }
  };
  const stream: Stream<object> = await client.stream<object, WatchResponse>(
    '/etcdserverpb.Watch/Watch',
    {
      onMessage: ({ canceled, events }) => {
        if (canceled) {
          stream.cancel();
          end();
        } else if (events.length > 0) {
          onChanges(events.map((event) => changeOf(event, cut)));
        }
      },
      onEnd: end,
    },
    within(OPEN_TIMEOUT_MS),
  );
  stream.write({ create_request: range });
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
