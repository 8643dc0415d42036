import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import path from 'node:path';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { codecOf } from '../../../src/etcd/messages/codec.js';

// What etcd3's clients expect is defined by the protocol files that it ships and by these options of its loader.
const entry = createRequire(import.meta.url).resolve('etcd3');
const reference = new protobuf.Root().loadSync(path.join(path.dirname(entry), '..', 'proto', 'rpc.proto'), {
  keepCase: true,
});
const OPTIONS = { longs: String, enums: String, defaults: true, oneofs: true };

/** Messages of the calls that the broker makes through etcd3's typed clients. */
const USED = [
  'RangeRequest',
  'RangeResponse',
  'PutRequest',
  'PutResponse',
  'DeleteRangeRequest',
  'DeleteRangeResponse',
  'TxnRequest',
  'TxnResponse',
  'CompactionRequest',
  'LeaseGrantRequest',
  'LeaseGrantResponse',
  'LeaseRevokeRequest',
  'LeaseRevokeResponse',
  'LeaseKeepAliveRequest',
  'LeaseKeepAliveResponse',
  'LeaseTimeToLiveRequest',
  'LeaseTimeToLiveResponse',
  'LeaseLeasesResponse',
  'WatchRequest',
  'WatchResponse',
  'AlarmRequest',
  'AlarmResponse',
  'StatusRequest',
  'StatusResponse',
  'MemberListRequest',
  'MemberListResponse',
  'AuthenticateRequest',
  'AuthenticateResponse',
  'AuthEnableRequest',
  'AuthUserAddRequest',
  'AuthUserGetRequest',
  'AuthUserGetResponse',
  'AuthUserListResponse',
  'AuthUserDeleteRequest',
  'AuthUserChangePasswordRequest',
  'AuthUserGrantRoleRequest',
  'AuthRoleAddRequest',
  'AuthRoleGetRequest',
  'AuthRoleGetResponse',
  'AuthRoleListResponse',
  'AuthRoleDeleteRequest',
  'AuthRoleGrantPermissionRequest',
];

const SCALARS: { readonly [type: string]: fc.Arbitrary<unknown> } = {
  bool: fc.boolean(),
  int64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
  uint64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String),
  int32: fc.integer(),
  uint32: fc.nat(),
  string: fc.string({ unit: 'grapheme' }),
  bytes: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
};

function typeOf(name: string): protobuf.Type {
  return reference.lookupType(`etcdserverpb.${name}`);
}

/** Any message of a type: fields set or left out, one field of each oneof at the most. */
function messages(type: protobuf.Type, depth = 0): fc.Arbitrary<{ [field: string]: unknown }> {
  const fields: { [name: string]: fc.Arbitrary<unknown> } = {};
  for (const field of type.fieldsArray) {
    field.resolve();
    const { resolvedType } = field;
    if (resolvedType instanceof protobuf.Type && depth > 2) {
      continue;
    }
    const one =
      resolvedType instanceof protobuf.Type
        ? messages(resolvedType, depth + 1)
        : resolvedType instanceof protobuf.Enum
          ? fc.constantFrom(...Object.keys(resolvedType.values))
          : (SCALARS[field.type] as fc.Arbitrary<unknown>);
    fields[field.name] = field.repeated ? fc.array(one, { maxLength: 3 }) : one;
  }
  const anything = fc.record(fields, { requiredKeys: [] });
  return anything.map((message) => {
    for (const { oneof } of type.oneofsArray) {
      for (const name of oneof.filter((member) => member in message).slice(1)) {
        delete message[name];
      }
    }
    return message;
  });
}

/** A message without the fields that newer etcds have and etcd3's files don't know. */
function known(message: unknown, type: protobuf.Type): unknown {
  if (typeof message !== 'object' || message === null) {
    return message;
  }
  const kept: { [field: string]: unknown } = {};
  for (const [name, value] of Object.entries(message)) {
    const field = type.fields[name];
    if (field === undefined && type.oneofs?.[name] === undefined) {
      continue;
    }
    const inner = field?.resolvedType;
    kept[name] = !(inner instanceof protobuf.Type)
      ? value
      : Array.isArray(value)
        ? value.map((item) => known(item, inner))
        : known(value, inner);
  }
  return kept;
}

function asEtcd3Has(type: protobuf.Type, bytes: Uint8Array): unknown {
  return type.toObject(type.decode(bytes), OPTIONS);
}

describe("etcd's messages", () => {
  for (const name of USED) {
    it(`${name} is read and written as etcd3 does`, () => {
      const type = typeOf(name);
      const codec = codecOf(name);
      fc.assert(
        fc.property(messages(type), (message) => {
          const theirs = type.encode(type.fromObject(message)).finish();
          const expected = asEtcd3Has(type, theirs);
          assert.deepStrictEqual(known(codec.decode(theirs), type), expected);
          assert.deepStrictEqual(asEtcd3Has(type, codec.encode(message)), expected);
        }),
        { numRuns: 50 },
      );
    });
  }

  it('a message within messages, as long as it likes', () => {
    const request = { success: [{ request_txn: { success: [{ request_put: { key: Buffer.from('k') } }] } }] };
    const codec = codecOf('TxnRequest');
    const { success } = codec.decode(codec.encode(request)) as typeof request;
    assert.equal(success[0]?.request_txn.success[0]?.request_put.key.toString(), 'k');
  });

  it('skips fields of a newer etcd', () => {
    const codec = codecOf('LeaseGrantResponse');
    const newer = Buffer.concat([codec.encode({ ID: '7' }), Buffer.from([0x92, 0x06, 2, 1, 2])]);
    assert.equal(codec.decode(newer).ID, '7');
  });

  it('fails on what is no message, and never runs past its end', () => {
    for (const name of USED) {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
          try {
            codecOf(name).decode(bytes);
          } catch (error) {
            assert.ok(error instanceof Error);
          }
        }),
        { numRuns: 50 },
      );
    }
    const codec = codecOf('PutRequest');
    const whole = codec.encode({ key: Buffer.from('key'), value: Buffer.from('value') });
    for (const length of [1, 3, 6, whole.length - 1]) {
      assert.throws(() => codec.decode(whole.subarray(0, length)), Error, `${length} bytes`);
    }
    assert.throws(() => codec.decode(Buffer.from([0x08, 1])), /another type/);
  });
});
