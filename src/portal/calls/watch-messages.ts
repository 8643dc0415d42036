import { codecOf } from '../../etcd/messages/codec.js';

const requests = codecOf('WatchRequest');
const responses = codecOf('WatchResponse');

/** A revision that no cluster reaches: a watch from it on stays silent. */
const NEVER = String(2n ** 62n);

/** What a portal has to know of a WatchResponse to keep count of watches. */
export interface WatchNews {
  watchId: number;
  created: boolean;
  canceled: boolean;
}

const news: WatchNews = { watchId: 0, created: false, canceled: false };

/**
 * Looks into a WatchResponse that the rewriter has checked, without decoding its events. The answer is one object that
 * the next call changes.
 */
export function newsOf(message: Buffer): Readonly<WatchNews> {
  news.watchId = 0;
  news.created = false;
  news.canceled = false;
  let at = 0;
  while (at < message.length) {
    const tag = message[at] as number; // all fields are below 16
    at += 1;
    let value = 0;
    let scale = 1;
    let byte: number;
    do {
      byte = message[at] as number;
      value += (byte & 0x7f) * scale;
      scale *= 128;
      at += 1;
    } while (byte > 0x7f);
    if ((tag & 7) === 2) {
      at += value;
    } else if (tag === 0x10) {
      // -1, etcd's "no watch", has ten bytes and is far beyond any id.
      news.watchId = value > Number.MAX_SAFE_INTEGER ? -1 : value;
    } else if (tag === 0x18) {
      news.created = value !== 0;
    } else if (tag === 0x20) {
      news.canceled = value !== 0;
    }
  }
  return news;
}

export function cancelReason(message: Buffer): string {
  return responses.decode(message).cancel_reason as string;
}

/** The same creation from a revision on that never comes. */
export function silentCreation(rewritten: Buffer): Buffer {
  const { create_request } = requests.decode(rewritten) as { create_request: object };
  return Buffer.from(requests.encode({ create_request: { ...create_request, start_revision: NEVER } }));
}

export function cancellation(watchId: number): Buffer {
  return Buffer.from(requests.encode({ cancel_request: { watch_id: watchId } }));
}

/** What etcd sends for a watch whose start was compacted: with the header of its creation, see `syncWatchers`. */
export function compactedAnswer(created: Buffer, watchId: number, floor: number): Buffer {
  const { header } = responses.decode(created);
  return Buffer.from(
    responses.encode({ header, watch_id: watchId, canceled: true, compact_revision: floor }),
  );
}

/** A creation that is refused by the portal, as etcd refuses one. */
export function refusedCreation(reason: string): Buffer {
  return Buffer.from(
    responses.encode({ watch_id: '-1', created: true, canceled: true, cancel_reason: reason }),
  );
}
