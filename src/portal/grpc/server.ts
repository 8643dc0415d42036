import { Status } from '../../etcd/transport/errors.js';
import { encodeField, encodeLiteral } from '../../http2/hpack.js';
import type { ConnectionHandlers } from '../http2/connection.js';
import type { ServerStream } from '../http2/stream.js';
import type { StreamHandlers } from '../http2/stream-host.js';
import { GrpcServerCall, type Peer, type ServerCallHandlers } from './call.js';
import { type CallHead, callHead, trailers } from './headers.js';
import { HttpExchange } from './http-exchange.js';

/** etcd takes 1.5 MiB (`--max-request-bytes`) and 512 KiB more for what gRPC adds. */
export const DEFAULT_MAX_MESSAGE_BYTES = 2 * 1024 * 1024;

export interface GrpcServerOptions {
  /** A new call. Returns where its events go, or undefined where it has ended the call. */
  onCall(call: GrpcServerCall): ServerCallHandlers | undefined;
  /** A request that is not gRPC, whole; answered 415 where this is not given. */
  onHttp?(exchange: HttpExchange): void;
  /** The largest message of a request. */
  maxMessageBytes?: number;
  /** The largest body that `onHttp` gets; as `maxMessageBytes` where not given. */
  maxBodyBytes?: number;
  /** A fault of ours: something threw. */
  onFault(error: unknown): void;
}

/** Makes calls of gRPC out of the requests of HTTP/2 connections. */
export class GrpcServer {
  readonly #options: GrpcServerOptions;
  readonly #maxMessageBytes: number;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    this.#maxMessageBytes = options.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES;
  }

  /** What a connection of this peer is to be served with. */
  handlersFor(peer: Peer, onClose?: (reason: Error | undefined) => void): ConnectionHandlers<CallHead> {
    return {
      interpret: callHead,
      onRequest: (stream, head) => (head.grpc ? this.#call(stream, head, peer) : this.#http(stream, peer)),
      onFault: this.#options.onFault,
      ...(onClose === undefined ? {} : { onClose }),
    };
  }

  #call(stream: ServerStream, head: CallHead, peer: Peer): StreamHandlers {
    const { onFault, onCall } = this.#options;
    const call = new GrpcServerCall(stream, head, peer, this.#maxMessageBytes, onFault);
    if (head.request.method !== 'POST') {
      stream.respond(statusOnly(405), true);
    } else if (head.compression !== undefined) {
      const text = `grpc: Decompressor is not installed for grpc-encoding "${head.compression}"`;
      call.end(Status.UNIMPLEMENTED, text);
    } else if (head.wrongTimeout) {
      call.end(Status.INTERNAL, 'malformed grpc-timeout');
    } else {
      try {
        call.start(onCall(call));
      } catch (error) {
        call.end(Status.INTERNAL, 'internal error');
        onFault(error);
      }
    }
    return call;
  }

  #http(stream: ServerStream, peer: Peer): StreamHandlers {
    const { onHttp, onFault, maxBodyBytes = this.#maxMessageBytes } = this.#options;
    if (onHttp !== undefined) {
      return new HttpExchange(stream, peer, maxBodyBytes, onHttp, onFault);
    }
    const status = Buffer.concat([
      statusOnly(415),
      encodeLiteral('content-type', 'application/grpc'),
      trailers(Status.INTERNAL, 'invalid gRPC request content-type'),
    ]);
    stream.respond(status, true);
    return NOBODY;
  }
}

const NOBODY: StreamHandlers = { onData: ({ length }) => length, onEnd() {}, onAbort() {} };

function statusOnly(status: number): Buffer {
  return encodeField(':status', String(status));
}
