/** A refusal by a limit: gRPC's code and the text that etcd has for it, so that clients' retry logic works. */
export interface LimitRefusal {
  readonly code: 8;
  readonly text: string;
  /** For metrics: which limit. */
  readonly limit: string;
}

const RESOURCE_EXHAUSTED = 8;

/** etcd's ErrGRPCRequestTooManyRequests (api/v3rpc/rpctypes/error.go). */
export function tooManyRequests(limit: string): LimitRefusal {
  return { code: RESOURCE_EXHAUSTED, text: 'etcdserver: too many requests', limit };
}

/** etcd's ErrGRPCNoSpace. */
export function noSpace(limit: string): LimitRefusal {
  return { code: RESOURCE_EXHAUSTED, text: 'etcdserver: mvcc: database space exceeded', limit };
}
