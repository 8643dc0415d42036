import { Code } from '../calls/status.js';

/** etcd's, with its default `--cors=*`. A token is never sent by a browser of its own accord. */
export const CORS = {
  'access-control-allow-headers': 'accept, content-type, authorization',
  'access-control-allow-methods': 'POST, GET, OPTIONS, PUT, DELETE',
  'access-control-allow-origin': '*',
} as const;

export const JSON_HEADERS = { ...CORS, 'content-type': 'application/json' } as const;

/** How grpc-gateway writes gRPC's codes into HTTP (google/rpc/code.proto): status and reason phrase. */
const HTTP: { readonly [code: number]: readonly [status: number, phrase: string] } = {
  [Code.OK]: [200, 'OK'],
  [Code.CANCELLED]: [408, 'Request Timeout'],
  [Code.INVALID_ARGUMENT]: [400, 'Bad Request'],
  [Code.DEADLINE_EXCEEDED]: [504, 'Gateway Timeout'],
  [Code.NOT_FOUND]: [404, 'Not Found'],
  [Code.PERMISSION_DENIED]: [403, 'Forbidden'],
  [Code.RESOURCE_EXHAUSTED]: [429, 'Too Many Requests'],
  [Code.FAILED_PRECONDITION]: [400, 'Bad Request'],
  [Code.OUT_OF_RANGE]: [400, 'Bad Request'],
  [Code.UNIMPLEMENTED]: [501, 'Not Implemented'],
  [Code.UNAVAILABLE]: [503, 'Service Unavailable'],
  [Code.UNAUTHENTICATED]: [401, 'Unauthorized'],
};
/** Of all other codes. */
const FAULT = [500, 'Internal Server Error'] as const;

export function httpStatusOf(code: number): number {
  return (HTTP[code] ?? FAULT)[0];
}

/** The body of an error, as etcd up to 3.5 has it; from 3.6 on the gateway leaves `error` out. */
export function errorBody(code: number, message: string): string {
  return JSON.stringify({ error: message, code, message });
}

/** An error that ends a stream: with the members of etcd up to 3.5, and `code` of those from 3.6 on. */
export function streamErrorBody(code: number, message: string): string {
  const [status, phrase] = HTTP[code] ?? FAULT;
  const error = { grpc_code: code, http_code: status, message, http_status: phrase, code };
  return JSON.stringify({ error });
}
