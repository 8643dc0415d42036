import {
  BackupDamaged,
  type BackupHeader,
  type BackupRecord,
  type BackupTrailer,
  type KeyRecord,
} from './records.js';

/** A byte that says what it is, and four of the length of what follows; see docs/backup-format.md. */
export const FRAME_HEAD_BYTES = 5;
/** Longer than any request that an etcd takes. A longer frame is damage. */
const LONGEST_FRAME = 64 * 1024 * 1024;
/** A lease's id, and the length of the key. */
const KEY_HEAD_BYTES = 12;
const LEASE_BYTES = 24;

export const FrameType = { header: 1, keySpace: 2, lease: 3, key: 4, trailer: 5 } as const;

export type Frame =
  | { type: 'header'; header: BackupHeader }
  | { type: 'trailer'; trailer: BackupTrailer }
  | { type: 'record'; record: BackupRecord };

export function headerFrame(header: BackupHeader): Buffer {
  return jsonFrame(FrameType.header, header);
}

export function trailerFrame(trailer: BackupTrailer): Buffer {
  return jsonFrame(FrameType.trailer, trailer);
}

/** How many bytes {@link writeFrame} takes. */
export function frameLength(record: BackupRecord): number {
  switch (record.type) {
    case 'key space':
      return FRAME_HEAD_BYTES + Buffer.byteLength(record.name);
    case 'lease':
      return FRAME_HEAD_BYTES + LEASE_BYTES;
    case 'key':
      return FRAME_HEAD_BYTES + KEY_HEAD_BYTES + record.key.length + record.value.length;
  }
}

/** @returns where the next frame begins */
export function writeFrame(target: Buffer, at: number, record: BackupRecord): number {
  const length = frameLength(record) - FRAME_HEAD_BYTES;
  const body = at + FRAME_HEAD_BYTES;
  target.writeUInt32BE(length, at + 1);
  switch (record.type) {
    case 'key space':
      target[at] = FrameType.keySpace;
      target.write(record.name, body, 'utf8');
      break;
    case 'lease':
      target[at] = FrameType.lease;
      target.writeBigInt64BE(record.id, body);
      target.writeBigInt64BE(BigInt(record.granted), body + 8);
      target.writeBigInt64BE(BigInt(record.remaining), body + 16);
      break;
    case 'key':
      writeKeyHead(target, at, record);
      target.set(record.value, body + KEY_HEAD_BYTES + record.key.length);
      break;
  }
  return body + length;
}

/** A key's frame without its value, which follows. */
export function keyFrameHead(record: KeyRecord): Buffer {
  const head = Buffer.allocUnsafe(FRAME_HEAD_BYTES + KEY_HEAD_BYTES + record.key.length);
  head.writeUInt32BE(frameLength(record) - FRAME_HEAD_BYTES, 1);
  writeKeyHead(head, 0, record);
  return head;
}

function writeKeyHead(target: Buffer, at: number, { key, lease }: KeyRecord): void {
  const body = at + FRAME_HEAD_BYTES;
  target[at] = FrameType.key;
  target.writeBigInt64BE(lease, body);
  target.writeUInt32BE(key.length, body + 8);
  target.set(key, body + KEY_HEAD_BYTES);
}

/** Takes frames out of bytes that come in pieces. */
export class FrameReader {
  #parts: Buffer[] = [];
  #length = 0;
  /** How many bytes there must be before there is anything to read. */
  #needed = FRAME_HEAD_BYTES;

  /** Whether the bytes so far end in the middle of a frame. */
  get incomplete(): boolean {
    return this.#length > 0;
  }

  /**
   * The frames that are whole by now, each with its bytes.
   * @throws BackupDamaged
   */
  *read(piece: Buffer): Generator<{ frame: Frame; bytes: Buffer }> {
    this.#parts.push(piece);
    this.#length += piece.length;
    if (this.#length < this.#needed) {
      return;
    }
    const all = this.#parts.length === 1 ? piece : Buffer.concat(this.#parts, this.#length);
    let at = 0;
    this.#needed = FRAME_HEAD_BYTES;
    while (all.length - at >= FRAME_HEAD_BYTES) {
      const length = all.readUInt32BE(at + 1);
      if (length > LONGEST_FRAME) {
        throw new BackupDamaged(`A frame of ${length} bytes is longer than any can be.`);
      }
      const end = at + FRAME_HEAD_BYTES + length;
      if (end > all.length) {
        this.#needed = end - at;
        break;
      }
      const bytes = all.subarray(at, end);
      yield { frame: readFrame(bytes), bytes };
      at = end;
    }
    this.#parts = at < all.length ? [all.subarray(at)] : [];
    this.#length = all.length - at;
  }
}

function readFrame(bytes: Buffer): Frame {
  const body = bytes.subarray(FRAME_HEAD_BYTES);
  switch (bytes[0]) {
    case FrameType.header:
      return { type: 'header', header: jsonOf<BackupHeader>(body) };
    case FrameType.trailer:
      return { type: 'trailer', trailer: jsonOf<BackupTrailer>(body) };
    case FrameType.keySpace:
      return { type: 'record', record: { type: 'key space', name: body.toString('utf8') } };
    case FrameType.lease:
      return { type: 'record', record: readLease(body) };
    case FrameType.key:
      return { type: 'record', record: readKey(body) };
    default:
      throw new BackupDamaged(`A frame of the unknown type ${bytes[0]}.`);
  }
}

function readLease(body: Buffer): BackupRecord {
  if (body.length !== LEASE_BYTES) {
    throw new BackupDamaged('A lease is not as long as leases are.');
  }
  return {
    type: 'lease',
    id: body.readBigInt64BE(0),
    granted: Number(body.readBigInt64BE(8)),
    remaining: Number(body.readBigInt64BE(16)),
  };
}

function readKey(body: Buffer): KeyRecord {
  const keyLength = body.length < KEY_HEAD_BYTES ? Number.POSITIVE_INFINITY : body.readUInt32BE(8);
  const valueAt = KEY_HEAD_BYTES + keyLength;
  if (valueAt > body.length) {
    throw new BackupDamaged('A key is longer than its frame.');
  }
  return {
    type: 'key',
    lease: body.readBigInt64BE(0),
    key: body.subarray(KEY_HEAD_BYTES, valueAt),
    value: body.subarray(valueAt),
  };
}

function jsonFrame(type: number, content: object): Buffer {
  const body = Buffer.from(JSON.stringify(content), 'utf8');
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  head[0] = type;
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

function jsonOf<T>(body: Buffer): T {
  try {
    return JSON.parse(body.toString('utf8')) as T;
  } catch (cause) {
    throw new BackupDamaged('What should be JSON is not.', { cause });
  }
}
