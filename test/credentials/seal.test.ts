import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { SealError } from '../../src/broker/errors.js';
import { Sealer } from '../../src/credentials/seal.js';
import { Secret } from '../../src/credentials/secret.js';

const key = (id: string) => ({ id, key: new Secret(randomBytes(32).toString('base64')) });

describe('Sealer', () => {
  const [older, newer] = [key('older'), key('newer')];
  const secret = new Secret('the password');

  it('opens what it sealed, whatever the text and the purpose', () => {
    const sealer = new Sealer([newer]);
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' }), (text, purpose) => {
        assert.equal(sealer.open(sealer.seal(new Secret(text), purpose), purpose).reveal(), text);
      }),
    );
  });

  it('never seals twice in the same way, and shows nothing of the secret', () => {
    const sealer = new Sealer([newer]);
    const sealed = Array.from({ length: 50 }, () => sealer.seal(secret, 'p'));
    assert.equal(new Set(sealed).size, 50);
    assert.match(sealed[0] ?? '', /^v1\.newer\.[A-Za-z0-9_-]+$/);
    assert.equal(Sealer.keyIdOf(sealed[0] ?? ''), 'newer');
    assert.equal(Sealer.keyIdOf('v2.newer.x'), undefined);
  });

  it('rotation: opens under every key, seals under the newest', () => {
    const before = new Sealer([older]).seal(secret, 'p');
    const rotating = new Sealer([newer, older]);
    assert.equal(rotating.newestKeyId, 'newer');
    assert.equal(rotating.open(before, 'p').reveal(), 'the password');
    const after = rotating.seal(secret, 'p');
    assert.equal(new Sealer([newer]).open(after, 'p').reveal(), 'the password');
  });

  it('says which key is missing', () => {
    const sealed = new Sealer([older]).seal(secret, 'p');
    assert.throws(() => new Sealer([newer]).open(sealed, 'p'), { name: 'SealError', message: /\bolder\b/ });
  });

  it('opens nothing for another purpose', () => {
    const sealer = new Sealer([newer]);
    const sealed = sealer.seal(secret, 'one');
    for (const purpose of ['two', '', 'One', 'one ']) {
      assert.throws(() => sealer.open(sealed, purpose), SealError, purpose);
    }
  });

  it('opens nothing under another key of the same name', () => {
    const sealed = new Sealer([key('same')]).seal(secret, 'p');
    assert.throws(() => new Sealer([key('same')]).open(sealed, 'p'), SealError);
  });

  it('finds every single change, and every cut', () => {
    const sealer = new Sealer([newer]);
    const sealed = sealer.seal(secret, 'p');
    const start = sealed.lastIndexOf('.') + 1;
    const bytes = Buffer.from(sealed.slice(start), 'base64url');
    for (let index = 0; index < bytes.length; index += 1) {
      const changed = Buffer.from(bytes);
      changed[index] = (changed[index] ?? 0) ^ 1;
      assert.throws(
        () => sealer.open(sealed.slice(0, start) + changed.toString('base64url'), 'p'),
        SealError,
        `byte ${index}`,
      );
      const cut = bytes.subarray(0, index);
      assert.throws(() => sealer.open(sealed.slice(0, start) + cut.toString('base64url'), 'p'), SealError);
    }
  });

  it('refuses what has another form, and keys of another length', () => {
    const sealer = new Sealer([newer]);
    for (const text of ['', 'v1', 'v1.newer', 'v2.newer.AAAA', 'the password', '..', 'v1.newer.']) {
      assert.throws(() => sealer.open(text, 'p'), SealError, text);
    }
    assert.throws(() => new Sealer([]), SealError);
    const short = { id: 'x', key: new Secret(randomBytes(16).toString('base64')) };
    assert.throws(() => new Sealer([short]), SealError);
  });

  it('says nothing of the secret or the key in its errors', () => {
    const sealer = new Sealer([newer]);
    try {
      sealer.open(sealer.seal(secret, 'one'), 'two');
      assert.fail('it should be refused');
    } catch (error) {
      assert.doesNotMatch(String(error), /the password/);
      assert.equal(String(error).includes(newer.key.reveal()), false);
    }
  });
});
