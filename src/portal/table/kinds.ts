import type { enums } from '../../etcd/messages/enums.js';
import type { MessageName, messages } from './definitions.js';

/**
 * What a field of type `bytes` can be:
 * - `key`: a key. An empty one is refused, as etcd does. In a response it must lie under the prefix;
 * - `watch key`: a key that stands for `\0` when it is empty;
 * - `range end`: the end of a range; absent means a single key, `\0` means "to the end";
 * - `name`: the name of a lock or an election: etcd makes keys of it, `<name>/<lease in hex>`. It may be empty;
 * - `value`: what a put stores;
 * - `plain`: anything else.
 */
export type BytesKind = 'key' | 'watch key' | 'range end' | 'name' | 'value' | 'plain';

/**
 * What a field of type `int64` can be:
 * - `lease`: refers to a lease; 0 means none. In a response a lease that is not the key space's own becomes 0;
 * - `compared lease`: what a key's lease is compared with;
 * - `session lease`: the lease of a lock or a candidate, where 0 asks for a new one;
 * - `new lease`: the id of a lease to be granted, where 0 leaves the choice to the server;
 * - `own lease`: in a response, the lease that the request named;
 * - `listed lease`: in a response; its message is left out unless the lease is the key space's own;
 * - `revision`: the revision to read from, to be held against the key space's compaction floor;
 * - `watch id`: names a watch of the stream;
 * - `plain`: anything else.
 */
export type Int64Kind =
  | 'lease'
  | 'compared lease'
  | 'session lease'
  | 'new lease'
  | 'own lease'
  | 'listed lease'
  | 'revision'
  | 'watch id'
  | 'plain';

/** What a field of type `uint64` can be: `identity` is the cluster's or the member's id in a response's header. */
export type Uint64Kind = 'identity' | 'plain';

export type FieldKind = BytesKind | Int64Kind | Uint64Kind | 'nested';

type KindOf<Type extends string> = Type extends 'bytes'
  ? BytesKind
  : Type extends 'int64'
    ? Int64Kind
    : Type extends 'uint64'
      ? Uint64Kind
      : Type extends 'bool' | 'string' | 'uint32' | keyof typeof enums
        ? 'plain'
        : 'nested';

type TypeOf<Definition> = Definition extends readonly [number, infer Type extends string, ...unknown[]]
  ? Type
  : never;

/** A kind for every field of a message, as its type allows. */
export type FieldKinds<Message extends MessageName> = {
  readonly [Field in keyof (typeof messages)[Message]]: KindOf<TypeOf<(typeof messages)[Message][Field]>>;
};
