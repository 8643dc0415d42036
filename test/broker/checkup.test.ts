import assert from 'node:assert/strict';
import { type CheckupParts, checkUp } from '../../src/broker/checkup/checkup.js';
import { type BindingRecord, FIRST_CLUSTER } from '../../src/broker/model.js';
import { Secret } from '../../src/credentials/secret.js';

describe('The checkup', () => {
  const bindings = Array.from({ length: 50 }, (_, index) => {
    const role = `role-${index}`;
    const names = { role, username: role, key_prefix: `/d/x/${index}/`, access: 'readwrite' };
    return { ...names, instance_id: 'i', binding_id: `${index}`, state: 'ready' } as BindingRecord;
  });

  /** A cluster in which all is well but for one password. */
  function parts(wrong: string, tried: string[][]): CheckupParts {
    async function* stored<T>(values: readonly T[]) {
      yield* values.map((value) => ({ value, revision: '1' }));
    }
    const permission = (index: number) => [
      { access: 'readwrite' as const, key: `/d/x/${index}/`, range_end: `/d/x/${index}0` },
    ];
    return {
      records: {
        instances: () => stored([{ instance_id: 'i', deployment_id: 'x' } as never]),
        bindings: () => stored(bindings),
        openOperations: async () => ({ operations: [], owners: new Set<string>() }),
        indexFaults: async () => [],
      },
      cluster: {
        id: FIRST_CLUSTER,
        inventory: {
          roles: async () => new Map(bindings.map(({ role }, index) => [role, permission(index)])),
          users: async () => new Map(bindings.map(({ role }) => [role, [role]])),
          strayKeySpaces: async () => [],
          refused: async (credentials) => {
            const names = [...credentials].map(({ username }) => username);
            tried.push(names);
            return new Map(names.filter((name) => name === wrong).map((name) => [name, 'wrong password']));
          },
        },
      },
      seals: { seal: () => '', open: () => new Secret('x') },
    };
  }

  it('names what it can not read, and concludes nothing from what is missing then', async () => {
    const whole = parts('', []);
    const { records } = whole;
    const isBroken = (binding: BindingRecord) => binding.binding_id === '3';
    const broken: CheckupParts = {
      ...whole,
      records: {
        ...records,
        async *bindings(_instance, onMalformed) {
          for await (const stored of records.bindings()) {
            if (isBroken(stored.value)) {
              onMalformed?.('the-key', 'it is not JSON');
            } else {
              yield stored;
            }
          }
        },
      },
    };
    const { differences, bindings: read } = await checkUp(broken, undefined, 0);
    assert.equal(read, 49);
    assert.deepEqual(
      differences.map(({ kind, what, detail }) => [kind, what, detail]),
      [['malformed record', 'the-key', 'it is not JSON']],
    );
  });

  it('tries every credential when it may', async () => {
    const tried: string[][] = [];
    const { differences, signIns } = await checkUp(parts('role-7', tried), undefined, 0);
    assert.deepEqual(
      differences.map(({ kind, what }) => [kind, what]),
      [['credentials refused', 'role-7']],
    );
    assert.equal(signIns, 50);
  });

  it('tries as many as it may, others each time, and what was refused again', async () => {
    const seen = new Set<string>();
    let found = 0;
    for (let round = 0; round < 100; round += 1) {
      const tried: string[][] = [];
      const { differences, signIns } = await checkUp(parts('role-7', tried), 10, 0);
      assert.equal(signIns, 10);
      assert.ok(tried.every((names) => names.length === 10));
      for (const name of tried.flat()) {
        seen.add(name);
      }
      if (tried[0]?.includes('role-7')) {
        found += 1;
        assert.equal(differences.length, 1, 'a refusal that was seen once is looked at again');
      }
    }
    assert.ok(found > 0);
    assert.equal(seen.size, 50);
  });
});
