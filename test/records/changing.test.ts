import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { BindingRecord, InstanceRecord } from '../../src/broker/model.js';
import { finish, openOperation, workOf } from '../../src/broker/operations/operations.js';
import type { RecordChange } from '../../src/broker/ports.js';
import { keys } from '../../src/records/keys.js';
import { indexEntries } from '../../src/records/transaction-plan.js';
import { type Fate, InMemoryRecords, MemoryStore } from '../support/in-memory-records.js';

const PLACE = { instance_id: 'i', binding_id: 'b' };

function newBinding(fields: Partial<BindingRecord> = {}): BindingRecord {
  return {
    schema: 1,
    ...PLACE,
    state: 'ready',
    deployment_id: 'd',
    attributes: { service_id: 's', plan_id: 'p', parameters: {}, app_guid: 'app' },
    role: 'role',
    username: 'role',
    key_space: '_1',
    key_prefix: '/d/d/_1/',
    access: 'readwrite',
    sealed_password: 'sealed',
    created_at: '',
    ...fields,
  };
}

describe('A change of records', () => {
  let store: MemoryStore;
  let records: InMemoryRecords;

  beforeEach(() => {
    store = new MemoryStore();
    records = new InMemoryRecords(store, { id: 'me' });
    store.put(keys.owner('me'), {});
  });

  const storedBinding = async (fields: Partial<BindingRecord> = {}) => {
    const next = newBinding(fields);
    assert.ok((await records.change({ binding: { ...PLACE, expected: undefined, next } })).done);
    const stored = await records.readBinding('i', 'b');
    assert.ok(stored);
    return stored;
  };

  const removal = async (): Promise<RecordChange> => {
    const operation = openOperation('unbind', PLACE, 'me');
    const ready = await storedBinding();
    const next = { ...ready.value, state: 'unbinding' as const, work: workOf(operation) };
    assert.ok(
      (await records.change({ binding: { ...PLACE, expected: ready, next }, opened: operation })).done,
    );
    const expected = await records.readBinding('i', 'b');
    return { binding: { ...PLACE, expected, next: null }, finished: [finish(operation, 'succeeded')] };
  };

  for (const fate of ['pass', 'sent twice', 'no space, applied'] satisfies Fate[]) {
    it(`counts once when it is written and the answer is "${fate}"`, async () => {
      const change = await removal();
      records.fate = () => {
        records.fate = () => 'pass';
        return fate;
      };
      assert.equal((await records.change(change)).done, true);
      assert.equal(await records.readBinding('i', 'b'), undefined);
      assert.deepEqual(store.under(keys.open), []);
      assert.equal(store.under(keys.operations).length, 1, 'its operation can be read');
    });
  }

  it('that removes something goes without its history when there is no space', async () => {
    const change = await removal();
    store.isFull = true;
    assert.equal((await records.change(change)).done, true);
    assert.deepEqual([...store.entries.keys()], [keys.owner('me')]);
  });

  it('that writes something is refused when there is no space, and has written nothing', async () => {
    const expected = await storedBinding();
    store.isFull = true;
    const next = { ...expected.value, expired: true as const };
    await assert.rejects(records.change({ binding: { ...PLACE, expected, next } }), { kind: 'no-space' });
    assert.deepEqual(await records.readBinding('i', 'b'), expected);
  });

  it('that was written although there is said to be no space has been carried out', async () => {
    const expected = await storedBinding();
    records.fate = () => 'no space, applied';
    const next = { ...expected.value, expired: true as const };
    assert.equal((await records.change({ binding: { ...PLACE, expected, next } })).done, true);
  });

  it('that opens an operation needs the sign of life of this replica', async () => {
    const expected = await storedBinding();
    store.entries.delete(keys.owner('me'));
    const opened = openOperation('unbind', PLACE, 'me');
    const next = { ...expected.value, work: workOf(opened) };
    const result = await records.change({ binding: { ...PLACE, expected, next }, opened });
    assert.deepEqual(result, { done: false, binding: expected });
  });

  it('an instance goes only when it has no bindings, malformed ones included', async () => {
    const instance = { schema: 1, instance_id: 'i', deployment_id: 'd', state: 'ready', service_id: 's' };
    store.put(keys.instance('i'), instance);
    store.put(keys.binding('i', 'b'), Buffer.from('{not json'));
    const expected = await records.readInstance('i');
    assert.equal((await records.change({ instance: { id: 'i', expected, next: null } })).done, false);
    await records.dropMalformed(keys.binding('i', 'b'));
    assert.equal((await records.change({ instance: { id: 'i', expected, next: null } })).done, true);
  });

  it('a record that is not malformed is not dropped as one', async () => {
    const stored = await storedBinding();
    await records.dropMalformed(keys.binding('i', 'b'));
    assert.deepEqual(await records.readBinding('i', 'b'), stored);
  });

  it('keeps the indexes as the records want them, whatever is changed', async () => {
    const fields = fc.record({
      app_guid: fc.option(fc.constantFrom('a', 'b/c', ''), { nil: undefined }),
      due_ms: fc.option(fc.constantFrom(1, 20_000), { nil: undefined }),
      expired: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.option(fields), { maxLength: 8 }), async (steps) => {
        store = new MemoryStore();
        records = new InMemoryRecords(store, { id: 'me' });
        for (const step of steps) {
          const expected = await records.readBinding('i', 'b');
          const { attributes } = newBinding();
          const next =
            step &&
            newBinding({
              attributes: {
                ...attributes,
                ...(step.app_guid === undefined ? {} : { app_guid: step.app_guid }),
              },
              ...(step.due_ms === undefined
                ? {}
                : { expiry: { due_ms: step.due_ms, expires_at: '', renew_before: '' } }),
              ...(step.expired ? { expired: true as const } : {}),
            });
          if (next === null && expected === undefined) {
            continue;
          }
          const until = performance.now() + 1_000;
          assert.ok((await records.change({ binding: { ...PLACE, expected, next }, until })).done);
          const wanted = indexEntries([], next === null ? [] : [next]);
          const found = [...store.under(keys.applications), ...store.under(keys.expiring)];
          assert.deepEqual(found, [...wanted.keys()].sort());
        }
      }),
    );
  });

  it('an index entry leads to the ids that it was made of', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme' }), fc.string(), async (instance_id, binding_id) => {
        store = new MemoryStore();
        records = new InMemoryRecords(store, { id: 'me' });
        const next = newBinding({
          instance_id,
          binding_id,
          expiry: { due_ms: 5, expires_at: '', renew_before: '' },
        });
        await records.change({ binding: { instance_id, binding_id, expected: undefined, next } });
        assert.deepEqual(await records.dueBindings(6), [{ instance_id, binding_id }]);
        const instance: InstanceRecord | undefined = (await records.readInstance(instance_id))?.value;
        assert.equal(instance, undefined);
        const successor = { instance_id, binding_id: `${binding_id}2` };
        const result = await records.change({
          binding: { ...successor, expected: undefined, next: { ...next, ...successor } },
          unlessBound: 'app',
        });
        assert.deepEqual(result, { done: false, siblings: [binding_id] });
      }),
    );
  });
});
