import type { FieldDefinition } from '../../etcd/messages/definition.js';
import { enums } from '../../etcd/messages/enums.js';
import { messages } from './definitions.js';
import { fields, type TabledMessage } from './fields.js';
import type { FieldKind } from './kinds.js';
import { ANY, Op } from './ops.js';

export type Direction = 'request' | 'response';

/** What a message does to the store, for the count of operations. */
export type Effect = 'none' | 'put' | 'delete' | 'range' | 'leader';

const effects: { readonly [Message in TabledMessage]?: Effect } = {
  PutRequest: 'put',
  DeleteRangeRequest: 'delete',
  RangeRequest: 'range',
  LockRequest: 'put',
  UnlockRequest: 'delete',
  CampaignRequest: 'put',
  ProclaimRequest: 'put',
  ResignRequest: 'delete',
  LeaderRequest: 'range',
  LeaderKey: 'leader',
};

/** Fields are found by number in tables of this size. */
export const SLOTS = 32;

/**
 * The slot of a field's number, from 0 to `SLOTS` (not there). Etcd's numbers are below 32, except for 64
 * (`Compare.range_end`), which takes slot 0: no field has the number 0.
 */
export function slotOf(number: number): number {
  if (number < SLOTS) return number;
  return number === 64 ? 0 : SLOTS;
}

/** What the rewriter needs to know of a message in one direction, in tables that are quick to look up. */
export interface MessageRule {
  readonly name: TabledMessage;
  readonly effect: Effect;
  /** By slot: what to do with the field; `Op.Drop` for one that is not known. One entry more than slots. */
  readonly ops: Uint8Array;
  /** By slot: the bits of the slots that may not have been seen before this field. */
  readonly excludes: Int32Array;
  /** By slot: the highest value that an enumeration may have. Etcd ends with a panic over a sort target it does not know. */
  readonly highest: Int32Array;
  /** By slot: the rule of a nested message. */
  readonly children: (MessageRule | undefined)[];
  /** The bit of the message's key, or 0; and whether an empty one stands for `\0`. */
  readonly keyBit: number;
  readonly keyMayBeEmpty: boolean;
  /** The bit of the name of a lock or an election (field 1 in each), or 0. */
  readonly nameBit: number;
  /** The tag and the bit of the field that gets a new lease when it is absent, or 0. */
  readonly newLeaseTag: number;
  readonly newLeaseBit: number;
  /** For a message that is nothing but a oneof (RequestOp): the bits of its members, of which one must be there. */
  readonly oneof: number;
  /** Whether it is a transaction, which alone can nest. */
  readonly transaction: boolean;
}

const cache: { readonly [D in Direction]: Map<TabledMessage, MessageRule> } = {
  request: new Map(),
  response: new Map(),
};

/** The rule of a message. @throws Error when the table does not name it or one that it holds: a fault of ours. */
export function messageRule(name: string, direction: Direction): MessageRule {
  if (!isTabled(name)) throw new Error(`The table of the portal's messages lacks ${name}`);
  const known = cache[direction].get(name);
  if (known !== undefined) return known;
  const rule: { -readonly [Key in keyof MessageRule]: MessageRule[Key] } = {
    name,
    effect: effects[name] ?? 'none',
    ops: new Uint8Array(SLOTS + 1),
    excludes: new Int32Array(SLOTS),
    highest: new Int32Array(SLOTS),
    children: new Array(SLOTS).fill(undefined),
    keyBit: 0,
    keyMayBeEmpty: false,
    nameBit: 0,
    newLeaseTag: 0,
    newLeaseBit: 0,
    oneof: 0,
    transaction: name === 'TxnRequest' || name === 'TxnResponse',
  };
  cache[direction].set(name, rule);
  const groups = new Map<string, number>();
  const definitions: { readonly [field: string]: FieldDefinition } = messages[name];
  const kinds: { readonly [field: string]: FieldKind } = fields[name];
  for (const [field, [number, type, group]] of Object.entries(definitions)) {
    const slot = slotOf(number);
    const bit = 1 << slot;
    const kind = kinds[field];
    if (slot === SLOTS || kind === undefined) throw new Error(`No rule for ${name}.${field}`);
    const op = opOf(kind, type, group === 'repeated', direction);
    rule.ops[slot] = op;
    if (op === Op.Enum || op === Op.Enums) rule.highest[slot] = highestOf(type, direction);
    if (kind === 'nested') rule.children[slot] = messageRule(type, direction);
    if (group === undefined) rule.excludes[slot] = bit;
    else if (group !== 'repeated') groups.set(group, (groups.get(group) ?? 0) | bit);
    if (op === Op.Key || op === Op.WatchKey) rule.keyBit = bit;
    if (op === Op.WatchKey) rule.keyMayBeEmpty = true;
    if (op === Op.Name) rule.nameBit = bit;
    if (op === Op.SessionLease || op === Op.NewLease) {
      rule.newLeaseTag = number << 3;
      rule.newLeaseBit = bit;
    }
  }
  for (const mask of groups.values())
    for (let slot = 0; slot < SLOTS; slot++) if ((mask & (1 << slot)) !== 0) rule.excludes[slot] = mask;
  if (name === 'RequestOp') rule.oneof = groups.get('request') ?? 0;
  return rule;
}

/** What etcd answers may be of a later version. */
function highestOf(type: string, direction: Direction): number {
  const values: { readonly [name: string]: number } = enums[type as keyof typeof enums];
  return direction === 'response' ? ANY : Math.max(...Object.values(values));
}

function isTabled(name: string): name is TabledMessage {
  return Object.hasOwn(fields, name);
}

function opOf(kind: FieldKind, type: string, repeated: boolean, direction: Direction): Op {
  switch (kind) {
    case 'nested':
      return Op.Nested;
    case 'plain':
      return plainOp(type, repeated);
    case 'key':
      return repeated ? Op.Keys : Op.Key;
    case 'watch key':
      return Op.WatchKey;
    case 'range end':
      return Op.RangeEnd;
    case 'name':
      return Op.Name;
    case 'value':
      return Op.Value;
    case 'lease':
      return Op.Lease;
    case 'compared lease':
      return Op.ComparedLease;
    case 'session lease':
      return direction === 'request' ? Op.SessionLease : Op.OwnLease;
    case 'new lease':
      return Op.NewLease;
    case 'own lease':
      return Op.OwnLease;
    case 'listed lease':
      return Op.ListedLease;
    case 'revision':
      return Op.Revision;
    case 'watch id':
      return Op.WatchId;
    case 'identity':
      return Op.Identity;
  }
}

function plainOp(type: string, repeated: boolean): Op {
  if (Object.hasOwn(enums, type)) return repeated ? Op.Enums : Op.Enum;
  if (type === 'bool') return Op.Bool;
  if (type === 'int64' || type === 'uint64') return Op.Integer;
  if (type === 'bytes') return Op.Bytes;
  if (type === 'string') return Op.Text;
  throw new Error(`No operation for fields of type ${type}`);
}
