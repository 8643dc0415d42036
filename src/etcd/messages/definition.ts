/**
 * A field of a message: its number, its type (a scalar of Protocol Buffers, an enumeration or a message) and, third,
 * `repeated` or the name of the oneof that it belongs to.
 */
export type FieldDefinition = readonly [number: number, type: string, group?: string];

/** The fields of messages by name. Numbers and types are facts of etcd's protocol and never change. */
export interface MessageDefinitions {
  readonly [message: string]: { readonly [field: string]: FieldDefinition };
}
