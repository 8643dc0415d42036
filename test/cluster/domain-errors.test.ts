import assert from 'node:assert/strict';
import { ClusterRefuses, ClusterUnavailable, NoSpace, SessionLost } from '../../src/broker/errors.js';
import { asDomainError, withDomainErrors } from '../../src/cluster/domain-errors.js';
import { EtcdError, type EtcdErrorKind } from '../../src/etcd/errors.js';

const KINDS: readonly [EtcdErrorKind, new () => ClusterUnavailable][] = [
  ['no-space', NoSpace],
  ['denied', ClusterRefuses],
  ['wrong-password', ClusterRefuses],
  ['unavailable', ClusterUnavailable],
  ['timeout', ClusterUnavailable],
  ['other', ClusterUnavailable],
];

describe("etcd's errors as the broker's", () => {
  for (const [kind, Kind] of KINDS) {
    it(`${kind} is ${Kind.name}, with etcd's words as the cause alone`, () => {
      const cause = new EtcdError(kind, 'connect ECONNREFUSED 10.0.0.7:2379');
      const error = asDomainError(cause) as ClusterUnavailable;
      assert.equal(error.constructor, Kind);
      assert.equal(error.cause, cause);
      assert.doesNotMatch(error.message, /ECONN/);
    });
  }

  it('others stay what they are', () => {
    const lost = new SessionLost();
    assert.equal(asDomainError(lost), lost);
  });

  it("an adapter's methods throw the broker's errors, its results and fields stay", async () => {
    class Adapter {
      readonly name = 'adapter';
      #secret = 'kept';
      async fails(): Promise<void> {
        throw new EtcdError('no-space', 'why');
      }
      async succeeds(): Promise<string> {
        return this.#secret;
      }
      async *items(): AsyncGenerator<number> {
        yield 1;
        throw new EtcdError('timeout', 'why');
      }
    }
    const adapter = withDomainErrors(new Adapter());
    assert.equal(adapter.name, 'adapter');
    assert.equal(await adapter.succeeds(), 'kept');
    await assert.rejects(adapter.fails(), NoSpace);
    const seen: number[] = [];
    await assert.rejects(async () => {
      for await (const item of adapter.items()) {
        seen.push(item);
      }
    }, ClusterUnavailable);
    assert.deepEqual(seen, [1]);
  });
});
