import assert from 'node:assert/strict';
import fc from 'fast-check';
import { DEPLOYMENTS, judgeKey } from '../../src/broker/tenant-prefix.js';

const ID = '5f00000000000000000000aa';
const OURS = /^\/d\/[0-9a-f]{24}\/([a-z0-9][a-z0-9-]{0,62}|_[0-9a-f]{16})\//;

/** Keys that are nearly of the form, so that each position of it is tried. */
const nearly = fc
  .array(
    fc.oneof(
      { weight: 8, arbitrary: fc.constantFrom(...'0123456789abcdef') },
      fc.constantFrom('/', '-', '_', 'g', 'A', '\x00', '\xff', '.'),
    ),
    { maxLength: 40 },
  )
  .map((characters) => `${DEPLOYMENTS}${characters.join('')}`);
const ours = fc
  .tuple(fc.stringMatching(/^[0-9a-f]{24}$/), fc.stringMatching(/^([a-z0-9][a-z0-9-]{0,5}|_[0-9a-f]{16})$/))
  .map(([id, space]) => `${DEPLOYMENTS}${id}/${space}/x`);

describe('Keys below /d/', () => {
  it('are ours only in the exact form', () => {
    assert.equal(judgeKey(`/d/${ID}/shared/x`).keySpace, `/d/${ID}/shared/`);
    assert.equal(judgeKey(`/d/${ID}/_0123456789abcdef/x`).keySpace, `/d/${ID}/_0123456789abcdef/`);
    for (const key of ['/d/ops/config', '/d//x', '/d/opkey', `/d/${ID}/x`, `/d/${ID}//x`, `/d/${ID}0/a/x`]) {
      assert.equal(judgeKey(key).keySpace, undefined, key);
    }
  });

  it('are walked through in jumps that go forward and miss nothing of ours', () => {
    fc.assert(
      fc.property(fc.oneof(nearly, ours), fc.oneof(nearly, ours), (key, other) => {
        const { keySpace, next } = judgeKey(key);
        assert.ok(next > key, 'it goes forward');
        assert.equal(keySpace !== undefined, OURS.test(key));
        const isSkipped = other > key && other < next;
        assert.ok(!isSkipped || !OURS.test(other) || other.startsWith(keySpace ?? '-'), `${other} is missed`);
      }),
      { numRuns: 5_000 },
    );
  });

  it('of one stranger are left behind in one jump, however many there are', () => {
    assert.ok(judgeKey('/d/deadbeef/1').next > '/d/deadbeef/zzz');
    assert.ok(judgeKey('/d/ops/1').next > '/d/zzz');
  });
});
