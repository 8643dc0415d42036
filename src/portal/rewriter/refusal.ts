/** gRPC's codes that the rewriter answers with. */
const UNKNOWN = 2;
const INVALID_ARGUMENT = 3;

/**
 * A request that is not passed on. `message` is etcd's own text where etcd has one. The instances are made once (they
 * are thrown often under attack, and a stack costs more than the rest of the work), so their stacks say nothing.
 */
export class Refusal extends Error {
  override readonly name = 'Refusal';

  constructor(
    /** A gRPC status code. */
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

/**
 * An answer that must not reach the tenant: a key outside the prefix, a foreign lease, or bytes that are no message of
 * etcd's. The stream ends and the portal logs a fault. The text holds nothing of the answer.
 */
export class Leak extends Error {
  override readonly name = 'Leak';
}

const invalid = (text: string) => new Refusal(INVALID_ARGUMENT, `etcdserver: ${text}`);
const malformed = (text: string) => invalid(`malformed request: ${text}`);

/** Every refusal that there is. The first group are etcd's own (api/v3rpc/rpctypes/error.go). */
export const refusals = {
  emptyKey: invalid('key is not provided'),
  /** The services for locks and elections lose the code of what they meet inside etcd. */
  emptyLockKey: new Refusal(UNKNOWN, 'etcdserver: key is not provided'),
  keyNotFound: invalid('key not found'),
  tooManyOperations: invalid('too many operations in txn request'),
  tooLarge: invalid('request is too large'),

  leaseId: invalid('lease ID must be between 1 and 4294967295'),

  truncated: malformed('it ends within a field'),
  overlongVarint: malformed('a varint is longer than needed or than 10 bytes'),
  length: malformed('a length goes beyond the message'),
  fieldNumber: malformed('a field number is not valid'),
  wireType: malformed('a field has the wrong wire type'),
  group: malformed('groups are not supported'),
  twice: malformed('a field is given twice'),
  oneof: malformed('two members of one oneof are given'),
  bool: malformed('a bool is neither 0 nor 1'),
  enumeration: malformed('an enumeration has more than 32 bits'),
  unknownValue: malformed('an enumeration has a value that is not known'),
  utf8: malformed('a string holds invalid UTF-8'),
} as const;
