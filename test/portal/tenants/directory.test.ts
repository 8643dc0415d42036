import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Directory } from '../../../src/portal/tenants/directory.js';
import type { Tenant } from '../../../src/portal/tenants/tenant.js';
import {
  bindingKey,
  bindingRecord,
  digestOf,
  FakeEtcd,
  instanceKey,
  instanceRecord,
  openDirectory,
  otherSeals,
  until,
  usernameOf,
} from './support.js';

describe('The directory of tenants', () => {
  let etcd: FakeEtcd;
  let directory: Directory;
  let warnings: ReturnType<typeof openDirectory>['warnings'];

  async function open(): Promise<void> {
    ({ directory, warnings } = openDirectory(etcd));
    directory.start();
    await directory.whole();
    await until(() => etcd.openWatches === 2);
  }

  function find(binding: number): Tenant {
    const tenant = directory.find(usernameOf(1, binding));
    assert.ok(tenant, `binding ${binding} serves`);
    return tenant;
  }

  beforeEach(async () => {
    etcd = new FakeEtcd();
    etcd.put(bindingKey(1, 1), bindingRecord(1, 1));
    etcd.put(instanceKey(1), instanceRecord(1));
  });

  afterEach(() => directory.stop());

  it('knows what was there before and what comes later', async () => {
    await open();
    assert.equal(directory.isWhole, true);
    const { scope, instance, access } = find(1);
    assert.equal(scope.prefix.toString(), `/d/${'0'.repeat(23)}1/_1/`);
    assert.equal(scope.prefixEnd.toString(), `/d/${'0'.repeat(23)}1/_10`);
    assert.equal(scope.leaseTag >>> 31, 0);
    assert.equal(access, 'readwrite');
    assert.equal(instance.settings.quotaBytes, 256 << 20);
    etcd.put(bindingKey(1, 2), bindingRecord(1, 2, { access: 'readonly' }));
    assert.equal(find(2).access, 'readonly');
  });

  for (const [what, change] of [
    ['its record is deleted', (e: FakeEtcd) => e.delete(bindingKey(1, 1))],
    ['it is unbound', (e: FakeEtcd) => e.put(bindingKey(1, 1), bindingRecord(1, 1, { state: 'unbinding' }))],
    ['it expires', (e: FakeEtcd) => e.put(bindingKey(1, 1), bindingRecord(1, 1, { expired: true }))],
    [
      'its password changes',
      (e: FakeEtcd) => e.put(bindingKey(1, 1), bindingRecord(1, 1, { password: 'another' })),
    ],
    [
      'its access changes',
      (e: FakeEtcd) => e.put(bindingKey(1, 1), bindingRecord(1, 1, { access: 'readonly' })),
    ],
    [
      'its instance is deprovisioned',
      (e: FakeEtcd) => e.put(instanceKey(1), instanceRecord(1, { state: 'deprovisioning' })),
    ],
    ["its instance's record is deleted", (e: FakeEtcd) => e.delete(instanceKey(1))],
    ['its record is damaged', (e: FakeEtcd) => e.put(bindingKey(1, 1), 'no JSON')],
  ] as const) {
    it(`tells a tenant at once when ${what}`, async () => {
      await open();
      const tenant = find(1);
      const told: string[] = [];
      tenant.onGone((reason) => told.push(reason));
      tenant.onGone(() => told.push('not this one'))();
      change(etcd);
      assert.equal(told.length, 1, 'within the same turn, and only those who still listen');
      assert.equal(tenant.isGone, true);
      assert.notEqual(directory.find(usernameOf(1, 1)), tenant);
      tenant.onGone((reason) => told.push(reason));
      assert.equal(told.length, 2, 'who comes late is told at once');
    });
  }

  it('lets a tenant go on when its password is sealed again under another key', async () => {
    await open();
    const tenant = find(1);
    etcd.put(bindingKey(1, 1), bindingRecord(1, 1, { sealer: otherSeals }));
    assert.equal(find(1), tenant);
    assert.equal(tenant.isGone, false);
    const texts: string[] = [];
    tenant.etcdPassword({ open: (text) => texts.push(text) as never });
    assert.ok(texts[0]?.startsWith(`v1.${otherSeals.newestKeyId}.`), 'the newer text is used');
  });

  it("signs in to etcd with the password from before its application's was rotated", async () => {
    await open();
    const before = find(1);
    const sealedEtcdPassword = JSON.parse(bindingRecord(1, 1)).sealed_password;
    const rotated = { password: 'another', sealed_etcd_password: sealedEtcdPassword };
    etcd.put(bindingKey(1, 1), bindingRecord(1, 1, rotated));
    assert.equal(before.isGone, true);
    const tenant = find(1);
    assert.equal(tenant.passwordDigest, digestOf('another'));
    const texts: string[] = [];
    tenant.etcdPassword({ open: (text) => texts.push(text) as never });
    assert.deepEqual(texts, [sealedEtcdPassword]);
  });

  it('tells of changed settings of an instance', async () => {
    await open();
    const seen: unknown[] = [];
    find(1).instance.onChange(({ whitelist }) => seen.push(whitelist));
    etcd.put(instanceKey(1), instanceRecord(1, { parameters: { whitelist: [{ ip: '10.0.0.1' }] } }));
    assert.deepEqual(seen, [[{ ip: '10.0.0.1' }]]);
    assert.equal(find(1).isGone, false);
  });

  it('resumes after a cut without a new list', async () => {
    await open();
    const lists = etcd.lists;
    const tenant = find(1);
    etcd.isAway = true;
    etcd.cut();
    etcd.put(bindingKey(1, 2), bindingRecord(1, 2));
    etcd.delete(bindingKey(1, 1));
    assert.equal(find(1), tenant, 'it serves on with what it knows');
    etcd.isAway = false;
    await until(() => directory.find(usernameOf(1, 2)) !== undefined);
    assert.equal(tenant.isGone, true);
    assert.equal(etcd.lists, lists);
  });

  it('lists again after a compaction and drops what has vanished', async () => {
    await open();
    const lists = etcd.lists;
    const tenant = find(1);
    etcd.isAway = true;
    etcd.cut();
    etcd.put(bindingKey(1, 2), bindingRecord(1, 2));
    etcd.delete(bindingKey(1, 1));
    etcd.compact();
    etcd.isAway = false;
    await until(() => directory.find(usernameOf(1, 2)) !== undefined && tenant.isGone);
    assert.ok(etcd.lists > lists);
  });

  it('takes an instance that was made anew between two lists for another one', async () => {
    await open();
    const tenant = find(1);
    etcd.isAway = true;
    etcd.cut();
    etcd.delete(instanceKey(1));
    etcd.put(instanceKey(1), instanceRecord(1));
    etcd.compact();
    etcd.isAway = false;
    await until(() => tenant.isGone);
    assert.equal(find(1).isGone, false);
  });

  it('lists again when the cluster went back in time', async () => {
    await open();
    const before = [...etcd.entries.values()];
    const { revisionNow } = etcd;
    etcd.put(bindingKey(1, 2), bindingRecord(1, 2));
    const tenant = find(2);
    etcd.restore(revisionNow, before);
    await until(() => tenant.isGone);
    assert.equal(find(1).isGone, false);
  });

  it('ignores bad records, names them by their key only, and serves the others', async () => {
    const bad = {
      'no-json': 'secret-text {',
      'no-prefix': bindingRecord(1, 3, { key_prefix: '/' }),
      'other-deployment': bindingRecord(1, 4, { key_prefix: `/d/${'f'.repeat(24)}/_4/` }),
      "the-broker's": bindingRecord(1, 5, { key_prefix: '/_broker/v1/' }),
      'bad-seal': bindingRecord(1, 6, { sealed_password: 'v1.00000000.AAAA' }),
      'another-schema': bindingRecord(1, 7, { schema: 2 }),
      "another's user": bindingRecord(1, 1, { key_prefix: `/d/${'0'.repeat(23)}1/_9/` }),
    };
    for (const [name, record] of Object.entries(bad)) {
      etcd.put(`/_broker/v1/bindings/instance-1/${name}`, record);
    }
    await open();
    assert.equal(directory.size, 1);
    assert.equal(find(1).scope.prefix.toString(), `/d/${'0'.repeat(23)}1/_1/`);
    assert.equal(warnings.length, Object.keys(bad).length);
    assert.doesNotMatch(JSON.stringify(warnings), /secret-text|v1\.00000000\.AAAA/);
  });

  it('agrees with the records whatever happens on the way', async () => {
    const number = fc.integer({ min: 1, max: 3 });
    const step = fc.oneof(
      fc.record({ do: fc.constant('bind'), instance: number, binding: number, ready: fc.boolean() }),
      fc.record({ do: fc.constant('unbind'), instance: number, binding: number }),
      fc.record({ do: fc.constant('provision'), instance: number, ready: fc.boolean() }),
      fc.record({ do: fc.constant('deprovision'), instance: number }),
      fc.record({ do: fc.constantFrom('cut', 'compact', 'away', 'back', 'turn') }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const feed = new FakeEtcd();
        const opened = openDirectory(feed);
        opened.directory.start();
        const met = new Set<Tenant>();
        for (const { do: what, instance = 0, binding = 0, ready } of steps as Step[]) {
          if (what === 'bind') {
            const state = ready ? 'ready' : 'unbinding';
            feed.put(bindingKey(instance, binding), bindingRecord(instance, binding, { state }));
          } else if (what === 'unbind') {
            feed.delete(bindingKey(instance, binding));
          } else if (what === 'provision') {
            const state = ready ? 'ready' : 'deprovisioning';
            feed.put(instanceKey(instance), instanceRecord(instance, { state }));
          } else if (what === 'deprovision') {
            feed.delete(instanceKey(instance));
          } else if (what === 'away') {
            feed.isAway = true;
            feed.cut();
          } else if (what === 'back') {
            feed.isAway = false;
          } else if (what === 'cut') {
            feed.cut();
          } else if (what === 'compact') {
            feed.compact();
          } else {
            await new Promise(setImmediate);
          }
          for (const tenant of opened.directory) {
            met.add(tenant);
          }
        }
        feed.isAway = false;
        // What comes last on each of the two watches: when both are seen, so is everything before them.
        feed.put(bindingKey(9, 9), bindingRecord(9, 9));
        feed.put(instanceKey(9), instanceRecord(9));
        await until(() => opened.directory.find(usernameOf(9, 9)) !== undefined && opened.directory.isWhole);
        const expected = [...feed.entries.values()]
          .filter(({ key }) => key.startsWith('/_broker/v1/bindings/'))
          .map(({ value }) => JSON.parse(value.toString()))
          .filter(({ state, instance_id }) => {
            const instance = feed.entries.get(`/_broker/v1/instances/${instance_id}`);
            return state === 'ready' && instance && JSON.parse(instance.value.toString()).state === 'ready';
          })
          .map(({ username }) => username);
        const serving = [...opened.directory];
        assert.deepEqual(serving.map(({ username }) => username).sort(), expected.sort());
        for (const tenant of met) {
          assert.equal(tenant.isGone, !serving.includes(tenant));
        }
        await opened.directory.stop();
        assert.equal(feed.openWatches, 0);
      }),
      { numRuns: 150 },
    );
  });
});

interface Step {
  do: string;
  instance?: number;
  binding?: number;
  ready?: boolean;
}
