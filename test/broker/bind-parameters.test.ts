import assert from 'node:assert/strict';
import { InvalidRequest } from '../../src/broker/errors.js';
import { bindParameters } from '../../src/broker/requests/bind-parameters.js';
import { expiryFrom } from '../../src/broker/requests/expiry.js';

describe('Parameters of a bind, whatever the catalog lets pass', () => {
  it('are read, with defaults', () => {
    assert.deepEqual(bindParameters({}), { access: 'readwrite' });
    assert.deepEqual(bindParameters({ administration: false }), { access: 'readwrite' });
    const all = { key_space: 'blue-1', access: 'readonly', expires_in: '720h', administration: true };
    assert.deepEqual(bindParameters({ ...all, colour: 'of no concern' }), all);
  });

  for (const parameters of [
    { key_space: '' },
    { key_space: '_3f' },
    { key_space: '-a' },
    { key_space: 'a/b' },
    { key_space: '..' },
    { key_space: 'a\n' },
    { key_space: 'a'.repeat(64) },
    { key_space: null },
    { key_space: ['a'] },
    { administration: 'yes' },
    { access: 'root' },
    { access: ['readonly'] },
    { expires_in: '' },
    { expires_in: '0s' },
    { expires_in: 60 },
    { expires_in: '99999999h' },
    { expires_in: '1s\n' },
  ]) {
    it(`refuse ${JSON.stringify(parameters).slice(0, 40)}`, () => {
      const [name = ''] = Object.keys(parameters);
      assert.throws(
        () => bindParameters(parameters),
        (error: Error) => error instanceof InvalidRequest && error.message.includes(`: ${name} must `),
      );
    });
  }

  it('the longest time is still a date', () => {
    for (const longest of ['9999999h', '99999d']) {
      assert.equal(bindParameters({ expires_in: longest }).expires_in, longest);
      assert.match(expiryFrom(longest, 0, Date.now()).expires_at, /Z$/);
    }
  });
});
