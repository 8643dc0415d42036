import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { Secret } from '../../src/credentials/secret.js';

describe('Secret', () => {
  const secret = new Secret('hunter2-hunter2');

  it('is masked however it is turned into text', () => {
    const printed = [
      `${secret}`,
      JSON.stringify({ secret }),
      inspect(secret),
      inspect({ deep: { secret } }),
      String(secret),
    ];
    for (const text of printed) {
      assert.match(text, /\[secret\]/);
      assert.doesNotMatch(text, /hunter2/);
    }
  });

  it('reveals its text on request and compares by value', () => {
    assert.equal(secret.reveal(), 'hunter2-hunter2');
    assert.equal(secret.equals('hunter2-hunter2'), true);
    assert.equal(secret.equals('hunter2-hunter3'), false);
    assert.equal(secret.equals(''), false);
  });
});
