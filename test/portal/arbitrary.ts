// Messages at random, for fast-check: whole and sound ones by their definitions, and what is left of them after blows.
import fc from 'fast-check';
import { enums } from '../../src/etcd/messages/enums.js';
import { prefix, TAG } from './model.js';
import { definitionOf, encode, type Fields, isEnum, isMessage, type Value } from './protobuf.js';

const interesting = [0n, 1n, 127n, 128n, 0xffff_ffffn, 0x1_0000_0000n, -1n, (1n << 63n) - 1n, -(1n << 63n)];
const int64 = fc.oneof(
  fc.constantFrom(...interesting),
  fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
);
const content = fc.oneof(
  fc.uint8Array({ maxLength: 6 }),
  fc.constantFrom('a', '/a/b', '0', prefix, '\0').map((text) => Buffer.from(text)),
  fc.uint8Array({ minLength: 120, maxLength: 140 }),
);
const someContent = content.filter((value) => value.length > 0);
const lease = fc.oneof(fc.constant(0n), fc.bigInt({ min: 1n, max: 0xffff_ffffn }), int64);
const newLease = fc.oneof(fc.constant(0n), fc.bigInt({ min: 1n, max: 0xffff_ffffn }));

const highestOf = (type: string) => Math.max(...Object.values(enums[type as keyof typeof enums]));

type Side = 'request' | 'response';

function scalar(name: string, field: string, type: string, side: Side): fc.Arbitrary<Value> {
  if (isEnum(type)) return fc.bigInt({ min: 0n, max: side === 'request' ? BigInt(highestOf(type)) : 4n });
  if (type === 'bool') return fc.boolean();
  if (type === 'string') return fc.string({ unit: 'grapheme', maxLength: 8 });
  if (type === 'bytes') {
    const isKey = field === 'key' || field === 'keys';
    const bytes = isKey ? someContent : content;
    if (side === 'response' && (isKey || field === 'name'))
      return bytes.map((one) => Buffer.concat([Buffer.from(prefix), one]));
    return bytes;
  }
  if (side === 'response' && (field === 'lease' || field === 'ID')) {
    const own = fc.bigInt({ min: 1n, max: 0xffff_ffffn }).map((id) => (BigInt(TAG) << 32n) | id);
    return name === 'KeyValue' || name === 'LeaseStatus' ? fc.oneof(own, int64) : own;
  }
  if (name === 'LeaseGrantRequest' && field === 'ID') return newLease;
  return field === 'lease' || field === 'ID' ? lease : int64;
}

/** A sound message: keys are not empty, at most one member of a oneof, fields in any order. */
export function messageOf(name: string, side: Side, depth = 0): fc.Arbitrary<Fields> {
  const groups = new Map<string, [string, fc.Arbitrary<Value>][]>();
  const singles: { [field: string]: fc.Arbitrary<Value | undefined> } = {};
  for (const [field, [, type, group]] of Object.entries(definitionOf(name))) {
    if (depth > 1 && type.startsWith('Txn')) continue;
    const deeper = type.startsWith('Txn') ? depth + 1 : depth;
    const one: fc.Arbitrary<Value> = isMessage(type)
      ? messageOf(type, side, deeper)
      : scalar(name, field, type, side);
    if (group === 'repeated') singles[field] = fc.array(one, { maxLength: 3 });
    else if (group !== undefined) groups.set(group, [...(groups.get(group) ?? []), [field, one]]);
    else {
      const needed = field === 'key' || (side === 'response' && field === 'name');
      singles[field] = needed && name !== 'WatchCreateRequest' ? one : fc.option(one, { nil: undefined });
    }
  }
  const choices = [...groups.values()].map((members) =>
    fc.oneof(...members.map(([field, one]) => one.map((value): Fields => ({ [field]: value })))),
  );
  return fc.tuple(fc.record(singles), fc.tuple(...choices), fc.integer()).map(([record, chosen, turn]) => {
    const entries = [record as Fields, ...chosen].flatMap((fields) => Object.entries(fields));
    const given = entries.filter(([, value]) => value !== undefined);
    const by = given.length === 0 ? 0 : Math.abs(turn) % given.length;
    return Object.fromEntries([...given.slice(by), ...given.slice(0, by)]);
  });
}

export const encodedOf = (name: string, side: Side): fc.Arbitrary<Buffer> =>
  messageOf(name, side).map((fields) => encode(name, fields));

type Blow = (message: Buffer, at: number, other: number) => Buffer;

const blows: readonly Blow[] = [
  (message, at, other) => {
    const copy = Buffer.from(message);
    if (copy.length > 0) copy[at % copy.length] = other & 0xff;
    return copy;
  },
  (message, at, other) => {
    const copy = Buffer.from(message);
    if (copy.length > 0) copy[at % copy.length] = (copy[at % copy.length] as number) ^ (1 << (other & 7));
    return copy;
  },
  (message, at) => message.subarray(0, at % (message.length + 1)),
  (message, at) => message.subarray(at % (message.length + 1)),
  (message, at, other) => {
    const place = at % (message.length + 1);
    return Buffer.concat([message.subarray(0, place), Buffer.from([other & 0xff]), message.subarray(place)]);
  },
  (message, at, other) => {
    const place = at % (message.length + 1);
    return Buffer.concat([message.subarray(0, place), message.subarray(place + (other % 9))]);
  },
  (message, at, other) => {
    const [from, to] = [at % (message.length + 1), other % (message.length + 1)].sort((a, b) => a - b);
    return Buffer.concat([message, message.subarray(from, to)]);
  },
];

/** Strikes a message: bytes changed, cut, put in, taken out, repeated. */
export const strike = (message: Buffer, kind: number, at: number, other: number): Buffer =>
  (blows[kind % blows.length] as Blow)(message, at, other);

const blow = fc.tuple(fc.nat(blows.length - 1), fc.nat(5000), fc.nat(5000));

/** A sound message after one to four blows. */
export const struckOf = (name: string, side: Side): fc.Arbitrary<Buffer> =>
  fc
    .tuple(encodedOf(name, side), fc.array(blow, { minLength: 1, maxLength: 4 }))
    .map(([message, all]) => all.reduce((one, [kind, at, other]) => strike(one, kind, at, other), message));
