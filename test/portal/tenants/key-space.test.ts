import assert from 'node:assert/strict';
import fc from 'fast-check';
import { KeySpace, leaseTagOf, ownerOfTag } from '../../../src/portal/tenants/key-space.js';
import { TenantTable } from '../../../src/portal/tenants/tenant-table.js';
import { deploymentOf, digestOf, usernameOf } from './support.js';

describe('Key spaces', () => {
  it('have a tag of 31 bits that depends on the prefix alone', () => {
    // The first four bytes of the digest, from `printf '/d/a/b/' | sha256sum`, shifted by one.
    assert.equal(leaseTagOf('/d/a/b/'), 0x359d3405 >>> 1);
  });

  it('of one tag: the older one owns it, at every portal', () => {
    const claim = fc.record({ prefix: fc.string(), leaseTag: fc.constant(1), createRevision: fc.nat(5) });
    fc.assert(
      fc.property(fc.array(claim, { minLength: 1 }), (claims) => {
        const owner = ownerOfTag(claims);
        assert.equal(owner.createRevision, Math.min(...claims.map(({ createRevision }) => createRevision)));
        const again = ownerOfTag([...claims].reverse());
        assert.equal(again.prefix, owner.prefix);
        assert.equal(again.createRevision, owner.createRevision);
      }),
    );
  });

  describe('that share a tag', () => {
    const reports: string[] = [];
    let table: TenantTable;

    function bind(instance: number, binding: number, keySpace = `_${binding}`): void {
      table.putBinding(`instance-${instance}/binding-${binding}`, {
        username: usernameOf(instance, binding),
        keyPrefix: `/d/${deploymentOf(instance)}/${keySpace}/`,
        access: 'readwrite',
        sealedEtcdPassword: 'v1',
        passwordDigest: digestOf('x'),
      });
    }

    function provision(instance: number, createRevision: number): void {
      const settings = {
        instanceId: `instance-${instance}`,
        deploymentId: deploymentOf(instance),
        units: 1,
        quotaBytes: 1,
        isHeld: false,
        whitelist: undefined,
      };
      table.putInstance(`instance-${instance}`, settings, createRevision);
    }

    const owns = (instance: number, binding: number) =>
      table.find(usernameOf(instance, binding))?.keySpace.ownsLeaseTag;

    beforeEach(() => {
      reports.length = 0;
      table = new TenantTable(
        (_, text) => reports.push(text),
        (prefix, createRevision) => new KeySpace(prefix, createRevision, 42),
      );
    });

    it('leave it to the older instance, whoever is seen first, and pass it on when that is gone', () => {
      provision(2, 20);
      bind(2, 2);
      assert.equal(owns(2, 2), true);
      provision(1, 10);
      bind(1, 1);
      assert.deepEqual([owns(1, 1), owns(2, 2)], [true, false]);
      assert.equal(reports.length, 1);
      table.removeBinding('instance-1/binding-1');
      assert.equal(owns(2, 2), true);
    });

    it('do not change hands when the older one rotates its binding', () => {
      provision(1, 10);
      bind(1, 1, 'shared');
      provision(2, 20);
      bind(2, 2);
      bind(1, 3, 'shared');
      table.removeBinding('instance-1/binding-1');
      assert.deepEqual([owns(1, 3), owns(2, 2)], [true, false]);
    });

    it('are one object for all bindings of a key space', () => {
      provision(1, 10);
      bind(1, 1, 'shared');
      bind(1, 2, 'shared');
      const [one, other] = [1, 2].map((binding) => table.find(usernameOf(1, binding))?.scope);
      assert.equal(one, other);
      assert.equal(reports.length, 0);
    });
  });
});
