import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { Connection, type ConnectionOptions } from '../../../../src/etcd/transport/connection.js';
import {
  dataFrame,
  headersFrames,
  PREFACE,
  pingFrame,
  rstStreamFrame,
  settingsAckFrame,
  settingsFrame,
} from '../../../../src/http2/frame-writers.js';
import { type FrameHandler, FrameParser } from '../../../../src/http2/frames.js';
import { HeaderDecoder, WITHOUT_TABLE } from '../../../../src/http2/header-decoder.js';
import { encodeField, type HeaderField } from '../../../../src/http2/hpack.js';
import { settingsOf } from '../../../../src/http2/settings.js';

const WAIT_MS = 5_000;

export type Seen =
  | { type: 'data'; streamId: number; data: Buffer; endStream: boolean }
  | { type: 'headers'; streamId: number; fields: HeaderField[]; endStream: boolean }
  | { type: 'reset'; streamId: number; code: number }
  | { type: 'settings'; settings: [number, number][] }
  | { type: 'settings ack' }
  | { type: 'ping'; data: Buffer; ack: boolean }
  | { type: 'goaway'; code: number; text: string }
  | { type: 'window update'; streamId: number; increment: number };

type SeenOf<T extends Seen['type']> = Extract<Seen, { type: T }>;

/**
 * One end of a connection, in the hands of a test: it sees each frame and sends what it likes. It is the server's end,
 * where nothing else is said.
 */
export class ScriptedPeer implements FrameHandler {
  readonly socket: Socket;
  readonly closed: Promise<unknown>;
  /** Frames that no `next` has taken. */
  readonly seen: Seen[] = [];
  /** Off: pings stay unanswered. */
  answersPings = true;
  readonly #parser = new FrameParser(this);
  #prefaceLeft: number;
  #onSeen: (() => void) | undefined;

  constructor(socket: Socket, end: 'server' | 'client' = 'server') {
    this.socket = socket;
    this.#prefaceLeft = end === 'server' ? PREFACE.length : 0;
    this.closed = once(socket, 'close');
    this.closed.catch(() => undefined); // an error closes it too
    socket.on('error', () => undefined); // the client cuts it in some tests
    socket.on('data', (chunk) => {
      const skipped = Math.min(this.#prefaceLeft, chunk.length);
      this.#prefaceLeft -= skipped;
      this.#parser.push(chunk.subarray(skipped));
    });
  }

  send(...frames: Uint8Array[]): void {
    this.socket.write(Buffer.concat(frames));
  }

  /** The first frame of this type that was not taken yet. */
  async next<T extends Seen['type']>(
    type: T,
    accepts: (seen: SeenOf<T>) => boolean = () => true,
  ): Promise<SeenOf<T>> {
    const deadline = Date.now() + WAIT_MS;
    for (;;) {
      const at = this.seen.findIndex((seen) => seen.type === type && accepts(seen as SeenOf<T>));
      if (at >= 0) {
        return this.seen.splice(at, 1)[0] as SeenOf<T>;
      }
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`no ${type} came`)), deadline - Date.now());
        this.#onSeen = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Answers a call with one message. */
  answer(streamId: number, message: Uint8Array): void {
    this.send(headOf(streamId), dataFrame(streamId, framed(message), false), trailersOf(streamId));
  }

  onData(streamId: number, data: Buffer, endStream: boolean): void {
    this.#saw({ type: 'data', streamId, data, endStream });
  }

  onHeaders(streamId: number, block: Buffer, endStream: boolean): void {
    this.#saw({
      type: 'headers',
      streamId,
      fields: new HeaderDecoder(WITHOUT_TABLE).decode(block),
      endStream,
    });
  }

  onRstStream(streamId: number, code: number): void {
    this.#saw({ type: 'reset', streamId, code });
  }

  onSettings(entries: Buffer): void {
    this.#saw({ type: 'settings', settings: [...settingsOf(entries)] });
  }

  onSettingsAck(): void {
    this.#saw({ type: 'settings ack' });
  }

  onPing(data: Buffer, ack: boolean): void {
    if (!ack && this.answersPings) {
      this.send(pingFrame(data, true));
    }
    this.#saw({ type: 'ping', data, ack });
  }

  onGoaway(_: number, code: number, debugData: Buffer): void {
    this.#saw({ type: 'goaway', code, text: debugData.toString() });
  }

  onWindowUpdate(streamId: number, increment: number): void {
    this.#saw({ type: 'window update', streamId, increment });
  }

  onStreamError(_: number, __: number, message: string): void {
    throw new Error(message);
  }

  #saw(seen: Seen): void {
    this.seen.push(seen);
    this.#onSeen?.();
  }
}

/** A server on loopback whose connections a test plays by hand. */
export class ScriptedServer {
  readonly #server: Server = createServer();
  readonly #sockets = new Set<Socket>();
  readonly #connections: Connection[] = [];

  async listen(): Promise<number> {
    this.#server.on('connection', (socket) => this.#sockets.add(socket));
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return this.port;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The next connection that comes, before anything is said on it. */
  async accept(): Promise<ScriptedPeer> {
    const [socket] = (await once(this.#server, 'connection')) as [Socket];
    return new ScriptedPeer(socket);
  }

  /** A client's open connection and the peer that it talks to. */
  async connect(
    options: ConnectionOptions = {},
    settings: [number, number][] = [],
  ): Promise<{ connection: Connection; peer: ScriptedPeer }> {
    const accepted = this.accept();
    const opened = Connection.open({ host: '127.0.0.1', port: this.port }, options);
    const peer = await accepted;
    peer.send(settingsFrame(settings), settingsAckFrame());
    const connection = await opened;
    this.#connections.push(connection);
    return { connection, peer };
  }

  async stop(): Promise<void> {
    for (const connection of this.#connections) {
      connection.close();
    }
    for (const socket of this.#sockets) {
      socket.destroy();
    }
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** A message with gRPC's prefix. */
export function framed(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

export function blockOf(fields: Record<string, string>): Buffer {
  return Buffer.concat(Object.entries(fields).map(([name, value]) => encodeField(name, value)));
}

export function headOf(streamId: number): Buffer {
  return headersFrames(streamId, blockOf({ ':status': '200', 'content-type': 'application/grpc' }), false);
}

export function trailersOf(streamId: number, status = 0, message = ''): Buffer {
  return headersFrames(streamId, blockOf({ 'grpc-status': `${status}`, 'grpc-message': message }), true);
}

export function resetOf(streamId: number, code: number): Buffer {
  return rstStreamFrame(streamId, code);
}
