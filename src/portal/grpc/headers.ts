import { isGrpc } from '../../etcd/transport/grpc.js';
import { encodeField, encodeLiteral } from '../../http2/hpack.js';
import { fieldOf, type RequestHead } from '../http2/request-head.js';

/** What the head of a request means to gRPC (grpc/doc/PROTOCOL-HTTP2.md). It is the same for all calls that send it. */
export interface CallHead {
  readonly request: RequestHead;
  /** Else it is for whoever serves plain HTTP. */
  readonly grpc: boolean;
  readonly path: string;
  /** Of the `token` metadata, or of `authorization`, which etcd takes too. */
  readonly token: string | undefined;
  readonly timeoutMs: number | undefined;
  /** Why the call has to be refused, with its status; `grpc-timeout` that can't be read is ours to refuse too. */
  readonly compression: string | undefined;
  readonly wrongTimeout: boolean;
}

const UNIT_MS: Record<string, number> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };

/** The milliseconds of a `grpc-timeout`, or undefined where it is none. */
export function parseTimeout(text: string): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(text);
  return match === null ? undefined : Number(match[1]) * (UNIT_MS[match[2] as string] as number);
}

export function callHead(request: RequestHead): CallHead {
  const timeout = fieldOf(request, 'grpc-timeout');
  const timeoutMs = timeout === undefined ? undefined : parseTimeout(timeout);
  const encoding = fieldOf(request, 'grpc-encoding');
  return {
    request,
    grpc: isGrpc(fieldOf(request, 'content-type') ?? ''),
    path: request.path,
    token: fieldOf(request, 'token') ?? fieldOf(request, 'authorization'),
    timeoutMs,
    compression: encoding === 'identity' ? undefined : encoding,
    wrongTimeout: timeout !== undefined && timeoutMs === undefined,
  };
}

/** What begins each answer of gRPC. */
export const RESPONSE_HEAD = Buffer.concat([
  encodeField(':status', '200'),
  encodeLiteral('content-type', 'application/grpc'),
]);

export const TRAILERS_OK = encodeLiteral('grpc-status', '0');

const MAX_MESSAGE_CHARACTERS = 4_096;

/** The trailers of a call that ends with this status. */
export function trailers(code: number, message: string): Buffer {
  if (code === 0 && message === '') {
    return TRAILERS_OK;
  }
  const status = encodeLiteral('grpc-status', String(code));
  return message === ''
    ? status
    : Buffer.concat([
        status,
        encodeLiteral('grpc-message', percentEncode(message.slice(0, MAX_MESSAGE_CHARACTERS))),
      ]);
}

/** grpc-message's percent encoding: of all but visible ASCII and space, and of the percent sign. */
export function percentEncode(text: string): string {
  return text.replace(/[^\x20-\x24\x26-\x7e]+/g, (part) =>
    Buffer.from(part)
      .toString('hex')
      .toUpperCase()
      .replace(/../g, (byte) => `%${byte}`),
  );
}
