import assert from 'node:assert/strict';
import type { Difference } from '../../src/broker/checkup/oracle.js';
import { type RepairParts, repair } from '../../src/broker/checkup/repair.js';
import type { BindingRecord, InstanceRecord, OperationRecord } from '../../src/broker/model.js';
import { question } from '../../src/cli/check.js';

const ID = '5f00000000000000000000aa';
const NAME = `d-${ID}-0123456789abcdef`;
const PREFIX = `/d/${ID}/shared/`;

describe('A repair, right before it changes anything,', () => {
  /** What the records hold by then, and what the repair has done. */
  function parts(now: {
    names?: readonly string[];
    deployments?: readonly string[];
    instance?: Partial<InstanceRecord>;
    binding?: Partial<BindingRecord>;
  }): { done: string[]; parts: RepairParts } {
    const done: string[] = [];
    const stored = <T>(value: Partial<T> | undefined) => value && { value: value as T, revision: '1' };
    const note = (what: string) => async (about: unknown) => {
      done.push(`${what} ${JSON.stringify(about)}`);
    };
    const fake = {
      records: {
        readInstance: async () => stored<InstanceRecord>(now.instance),
        readBinding: async () => stored<BindingRecord>(now.binding),
        change: async () => {
          done.push('change');
          return { done: true, revision: '2' };
        },
        forgetOpenOperation: note('forget'),
        indexOpenOperation: note('index'),
        mendIndex: note('mend'),
        instances: async function* () {},
        bindings: async function* () {},
        indexFaults: async () => [],
      },
      recordedNames: {
        current: async () => ({ names: new Set(now.names), deployments: new Set(now.deployments) }),
      },
      cluster: {
        access: { revoke: note('revoke'), grant: note('grant') },
        tenantKeys: { deleteAll: note('delete') },
      },
    };
    return { done, parts: fake as unknown as RepairParts };
  }
  const binding = { instance_id: 'i', binding_id: 'b', role: NAME, username: NAME } as BindingRecord;
  const operation = { id: 'bind-1', instance_id: 'i', binding_id: 'b' } as OperationRecord;
  const underWay = { work: { operation_id: 'bind-1' } } as Partial<BindingRecord>;

  for (const [difference, before, since] of [
    [{ kind: 'stray role', what: NAME }, {}, { names: [NAME] }],
    [{ kind: 'stray user', what: NAME }, {}, { names: [NAME] }],
    [{ kind: 'stray keys', what: PREFIX }, {}, { deployments: [ID] }],
    [{ kind: 'binding without instance', what: 'i / b', binding }, { binding }, { binding, instance: {} }],
    [{ kind: 'stray operation', what: 'bind-1', operation }, { binding }, { binding: underWay }],
    [{ kind: 'operation not indexed', what: 'bind-1', operation }, { binding: underWay }, { binding }],
    [
      { kind: 'expired but working', what: NAME, binding },
      { binding: { ...binding, expired: true } },
      { binding },
    ],
    [{ kind: 'stray index entry', what: 'k', index: { kind: 'stray', key: 'k' } }, undefined, {}],
  ] as const) {
    it(`looks whether it is still so: ${difference.kind}`, async () => {
      const told = { detail: '', ...difference } as Difference;
      if (before !== undefined) {
        const still = parts(before);
        await repair(still.parts, told);
        assert.notDeepEqual(still.done, []);
      }
      const changed = parts(since);
      assert.match(await repair(changed.parts, told), /nothing to do/);
      assert.deepEqual(changed.done, []);
    });
  }

  it('deletes no more than the key space', async () => {
    const { done, parts: fake } = parts({});
    await repair(fake, { kind: 'stray keys', what: PREFIX, detail: '' });
    assert.deepEqual(done, [`delete "${ID}/shared"`]);
  });

  it('is agreed to by somebody who was told how many roles and users go', () => {
    const stray = (kind: Difference['kind'], what: string): Difference => ({ kind, what, detail: '' });
    const twelve = Array.from({ length: 12 }, (_, index) => `${NAME}${index}`);
    const differences = twelve.flatMap((name) => [stray('stray role', name), stray('stray user', name)]);
    assert.match(
      question(differences),
      /^Repair 24 differences\? 12 bindings have roles or users but no record/,
    );
    assert.equal(question([stray('role missing', NAME)]), 'Repair 1 differences?');
  });
});
