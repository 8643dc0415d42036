import assert from 'node:assert/strict';
import { MalformedRecord } from '../../../src/broker/errors.js';
import { Janitor } from '../../../src/broker/upkeep/janitor.js';

describe('The janitor', () => {
  /** A cluster with these names, each with its role and its user, and a janitor for it. */
  function cluster(existing: string[], recordedNames: () => Promise<Set<string>>) {
    const names = new Set(existing);
    const errors: string[] = [];
    const held: number[] = [];
    const janitor = new Janitor(
      {
        records: { recordedNames },
        cluster: {
          id: 'first',
          access: {
            names: async () => ({ roles: new Set(names), users: new Set(names) }),
            revoke: async ({ role }) => {
              names.delete(role);
            },
          },
        },
        log: { info: () => undefined, warn: () => undefined, error: (_details, text) => errors.push(text) },
      },
      (count) => held.push(count),
    );
    return { names, errors, held, janitor };
  }
  const twenty = Array.from({ length: 20 }, (_, index) => `name-${index}`);

  it('removes the waste of a late call', async () => {
    const { janitor, names, held } = cluster([...twenty, 'waste'], async () => new Set(twenty));
    assert.deepEqual(await janitor.sweep(), ['waste']);
    assert.deepEqual([...names], twenty);
    assert.deepEqual(held, [0]);
  });

  it('leaves everything alone when records have vanished, and says so once', async () => {
    const { janitor, names, errors, held } = cluster(twenty, async () => new Set(twenty.slice(7)));
    assert.deepEqual(await janitor.sweep(), []);
    assert.deepEqual(await janitor.sweep(), []);
    assert.deepEqual([...names], twenty);
    assert.deepEqual(held, [7, 7]);
    assert.equal(errors.length, 1);
    assert.match(errors[0] as string, /check --repair/);
  });

  it('removes nothing when the records can not be read whole', async () => {
    const { janitor, names } = cluster([...twenty, 'waste'], async () => {
      throw new MalformedRecord('/_broker/v1/bindings/i/b', 'it is not JSON');
    });
    await assert.rejects(janitor.sweep(), MalformedRecord);
    assert.equal(names.size, 21);
  });
});
