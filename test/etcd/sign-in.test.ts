import assert from 'node:assert/strict';
import { SignIn } from '../../src/etcd/sign-in.js';

describe('A sign-in', () => {
  it('is shared by all that wait for it, and known afterwards', async () => {
    let count = 0;
    const signIn = new SignIn(async () => `token-${++count}`);
    assert.equal(signIn.known, undefined);
    assert.deepEqual(await Promise.all([signIn.token(), signIn.token()]), ['token-1', 'token-1']);
    assert.deepEqual(signIn.known, { token: 'token-1' });
  });

  it('is repeated once when many are refused with the same token', async () => {
    let count = 0;
    const signIn = new SignIn(async () => `token-${++count}`);
    await signIn.token();
    signIn.refused('token-1');
    assert.equal(await signIn.token(), 'token-2');
    signIn.refused('token-1');
    assert.equal(await signIn.token(), 'token-2');
  });

  it('that is forgotten while under way does not become known', async () => {
    const ends: ((token: string) => void)[] = [];
    const signIn = new SignIn(() => new Promise((resolve) => ends.push(resolve)));
    const first = signIn.token();
    signIn.forget();
    const second = signIn.token();
    ends[0]?.('old');
    assert.equal(await first, 'old');
    assert.equal(signIn.known, undefined);
    ends[1]?.('new');
    assert.equal(await second, 'new');
    assert.deepEqual(signIn.known, { token: 'new' });
  });

  it('that fails is tried again', async () => {
    let count = 0;
    const signIn = new SignIn(async () => {
      count += 1;
      if (count === 1) {
        throw new Error('why');
      }
      return 'token';
    });
    await assert.rejects(signIn.token(), /why/);
    assert.equal(await signIn.token(), 'token');
  });

  it('is not needed without a login', async () => {
    const signIn = new SignIn();
    signIn.forget();
    assert.deepEqual(signIn.known, { token: undefined });
    assert.equal(await signIn.token(), undefined);
  });
});
