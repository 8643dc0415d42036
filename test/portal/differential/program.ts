import fc from 'fast-check';

/*
 * Programs of calls, for any etcd: revisions and leases stand for what the etcd at hand gave, since each gives others.
 */

/** A revision: the program's own write of that number (modulo how many there are), or the one just before it. */
export interface At {
  write: number;
  before: boolean;
}
/** `0` is none, `future` one that is far away. */
export type RevisionRef = '0' | 'future' | At;

/** Fields of a request; a `RevisionRef` or lease is wrapped, so that a world can put its own number there. */
export type Value =
  | string
  | number
  | boolean
  | Buffer
  | { rev: RevisionRef }
  | { lease: number }
  | Fields
  | Fields[];
export interface Fields {
  [field: string]: Value;
}

export type Step =
  | { do: 'call'; name: string; request: Fields }
  | { do: 'grant'; lease: number; chosen: boolean; ttl: string }
  | { do: 'keep alive'; lease: number }
  | { do: 'watch'; request: Fields }
  | { do: 'cancel'; watch: number }
  | { do: 'compact'; request: Fields };

const NAMES = ['', '\0', 'a', 'a\0', 'a/1', 'a/2', 'b', 'b/1', '\xfe', '\xff', '\xff\xff'];
const bytes = (text: string) => Buffer.from(text, 'latin1');
const key = fc.constantFrom(...NAMES.slice(1)).map(bytes);
const anyKey = fc.oneof({ weight: 30, arbitrary: key }, { weight: 1, arbitrary: fc.constant(bytes('')) });
/** Never empty: etcd takes an empty end that is sent for the end of all keys, now and then; the portal for no end. */
const rangeEnd = fc.constantFrom(...NAMES.slice(1), '\0', '\0', 'a0', 'c').map(bytes);
const value = fc.constantFrom('', '1', '2', '30', '\0\xff').map(bytes);
const at = fc.record({ write: fc.nat(40), before: fc.boolean() });
/** One that the program made itself: what is compared with revisions must not depend on how many others lie between. */
const own = fc
  .oneof<fc.Arbitrary<RevisionRef>[]>(
    { weight: 12, arbitrary: fc.nat(40).map((write) => ({ write, before: false })) } as never,
    { weight: 2, arbitrary: fc.constant('0') } as never,
    { weight: 1, arbitrary: fc.constant('future') } as never,
  )
  .map((of) => ({ rev: of }));
const rev = fc
  .oneof<fc.Arbitrary<RevisionRef>[]>(
    { weight: 12, arbitrary: at } as never,
    { weight: 2, arbitrary: fc.constant('0') } as never,
    { weight: 1, arbitrary: fc.constant('future') } as never,
  )
  .map((of) => ({ rev: of }));
/** Leases are 0 to 3; 9 is one that there never was. */
const lease = fc.constantFrom(0, 1, 2, 3, 9).map((of) => ({ lease: of }));
const flag = fc.boolean();

const record = (
  required: Record<string, fc.Arbitrary<unknown>>,
  more: Record<string, fc.Arbitrary<unknown>>,
) => fc.record({ ...required, ...more }, { requiredKeys: Object.keys(required) }) as fc.Arbitrary<Fields>;
const seldom = <T>(arbitrary: fc.Arbitrary<T>, otherwise: T) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(otherwise) }, { weight: 1, arbitrary });

const range = record(
  { key: anyKey },
  {
    range_end: rangeEnd,
    limit: fc.constantFrom('0', '1', '2', '3', '-1'),
    revision: seldom(rev, { rev: '0' }),
    sort_order: fc.nat(2),
    sort_target: fc.nat(4),
    serializable: flag,
    keys_only: flag,
    count_only: seldom(flag, false),
    min_mod_revision: seldom(own, { rev: '0' }),
    max_mod_revision: seldom(own, { rev: '0' }),
    min_create_revision: seldom(own, { rev: '0' }),
    max_create_revision: seldom(own, { rev: '0' }),
  },
);
const put = record(
  { key: anyKey, value },
  { lease, prev_kv: flag, ignore_value: seldom(flag, false), ignore_lease: seldom(flag, false) },
);
const ignoring = record({ key }, { prev_kv: flag, ignore_value: flag, ignore_lease: flag, lease });
const deletion = record({ key: anyKey }, { range_end: rangeEnd, prev_kv: flag });
/**
 * In a transaction etcd does not see that a deletion to the end (`\0`) overlaps a put, and does both. The portal gives the
 * deletion an end, so etcd sees it, and refuses.
 */
const deletionInTxn = record(
  { key: anyKey },
  { range_end: rangeEnd.filter((end) => !end.equals(bytes('\0'))), prev_kv: flag },
);
const compare = fc
  .tuple(
    record({ key: anyKey, result: fc.nat(3) }, { range_end: rangeEnd }),
    fc.oneof(
      fc.nat(3).map((version) => ({ target: 0, version: String(version) })),
      own.map((create_revision) => ({ target: 1, create_revision })),
      own.map((mod_revision) => ({ target: 2, mod_revision })),
      value.map((of) => ({ target: 3, value: of })),
      lease.map((of) => ({ target: 4, lease: of })),
    ),
  )
  .map(([basis, target]) => ({ ...basis, ...target }) as Fields);

const { txn } = fc.letrec<{ txn: Fields; op: Fields }>((tie) => ({
  op: fc.oneof(
    { maxDepth: 3, depthIdentifier: 'txn' },
    fc.oneof(
      { weight: 4, arbitrary: put.map((request_put) => ({ request_put })) },
      { weight: 3, arbitrary: range.map((request_range) => ({ request_range })) },
      { weight: 1, arbitrary: deletionInTxn.map((request_delete_range) => ({ request_delete_range })) },
    ) as fc.Arbitrary<Fields>,
    tie('txn').map((request_txn) => ({ request_txn })) as fc.Arbitrary<Fields>,
  ),
  txn: fc.record({
    compare: fc.array(compare, { maxLength: 2 }),
    success: fc.array(tie('op'), { maxLength: 3, depthIdentifier: 'txn' }),
    failure: fc.array(tie('op'), { maxLength: 3, depthIdentifier: 'txn' }),
  }) as fc.Arbitrary<Fields>,
}));

const watch = record(
  { key },
  {
    range_end: rangeEnd,
    start_revision: seldom(
      fc
        .nat(40)
        .map((write) => ({ write, before: false }))
        .map((of) => ({ rev: of })) as fc.Arbitrary<Value>,
      '0',
    ),
    prev_kv: flag,
    fragment: flag,
    progress_notify: flag,
    filters: fc.constantFrom([], [0], [1]) as never,
    watch_id: seldom(fc.constantFrom('3', '5') as fc.Arbitrary<string>, '0'),
  },
);

const call = (name: string) => (request: Fields) => ({ do: 'call' as const, name, request });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: put.map(call('KV/Put')) },
  { weight: 3, arbitrary: ignoring.map(call('KV/Put')) },
  { weight: 12, arbitrary: range.map(call('KV/Range')) },
  { weight: 4, arbitrary: deletion.map(call('KV/DeleteRange')) },
  { weight: 12, arbitrary: txn.map(call('KV/Txn')) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('grant' as const),
      lease: fc.integer({ min: 1, max: 3 }),
      chosen: flag,
      ttl: fc.constantFrom('100', '3000', '9000000001'),
    }),
  },
  { weight: 1, arbitrary: lease.map((ID) => call('Lease/LeaseRevoke')({ ID })) },
  {
    weight: 2,
    arbitrary: fc.tuple(lease, flag).map(([ID, keys]) => call('Lease/LeaseTimeToLive')({ ID, keys })),
  },
  { weight: 1, arbitrary: fc.constant(call('Lease/LeaseLeases')({})) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('keep alive' as const), lease: fc.constantFrom(1, 2, 3, 9) }),
  },
  { weight: 3, arbitrary: watch.map((request) => ({ do: 'watch' as const, request })) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), watch: fc.nat(3) }) },
  {
    weight: 1,
    // A revision of one's own, since between two of them lie other tenants'.
    arbitrary: fc
      .oneof(
        fc.nat(40).map((write) => ({ rev: { write, before: false } })),
        fc.constant({ rev: 'future' as const }),
      )
      .map((revision) => ({ do: 'compact' as const, request: { revision } })),
  },
);

export const programs = fc
  .array(step, { minLength: 5, maxLength: 40, size: 'max' })
  .map((steps) => withoutOldValues(steps));

/** A tenant's compaction leaves what came before to watches that ask for `prev_kv`; see PORTAL.md. */
function withoutOldValues(steps: Step[]): Step[] {
  const compaction = steps.findIndex((one) => one.do === 'compact');
  return steps.map((one, index) =>
    one.do === 'watch' && compaction >= 0 && index > compaction
      ? { ...one, request: { ...one.request, prev_kv: false } }
      : one,
  );
}
