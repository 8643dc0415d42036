import assert from 'node:assert/strict';
import { GUESS_LIMITS, Guesses } from '../../../src/portal/limits/guesses.js';

describe('Guesses of passwords', () => {
  let now: number;
  let guesses: Guesses;
  let looked: number;

  beforeEach(() => {
    now = 1_000;
    looked = 0;
    guesses = new Guesses({ ...GUESS_LIMITS, mostKnown: 50 }, () => now);
  });

  function guess(user: string, address: string, isRight = false) {
    return guesses.attempt(user, address, () => {
      looked += 1;
      return isRight ? user : undefined;
    });
  }

  it('are refused for one user from one address after some, and looked at no more', () => {
    const outcomes = Array.from({ length: 30 }, () => guess('u', '192.0.2.1').outcome);
    assert.equal(outcomes.filter((outcome) => outcome === 'wrong').length, GUESS_LIMITS.pair.burst);
    assert.equal(looked, GUESS_LIMITS.pair.burst);
    const refused = guess('u', '192.0.2.1', true);
    assert.equal(refused.outcome === 'refused' && refused.refusal.text, 'etcdserver: too many requests');
    now += 6_001;
    assert.equal(guess('u', '192.0.2.1', true).outcome, 'in', 'one is forgiven after six seconds');
  });

  it('do not keep out the right password from elsewhere, however many guess at a user', () => {
    for (let address = 0; address < 2_000; address += 1) {
      guess('u', `10.0.${address >> 8}.${address & 255}`);
    }
    const wrong = guess('u', '203.0.113.1');
    assert.ok(wrong.outcome === 'wrong' && wrong.delayMs === GUESS_LIMITS.mostDelayMs, 'they are delayed');
    assert.equal(guess('u', '203.0.113.2', true).outcome, 'in');
  });

  it('of many users from one address are refused, but not to who has signed in from there', () => {
    assert.equal(guess('honest', '192.0.2.1', true).outcome, 'in');
    for (let user = 0; user < 1_000; user += 1) {
      guess(`u${user}`, '192.0.2.1');
    }
    assert.equal(looked, 1 + GUESS_LIMITS.address.burst);
    assert.equal(guess('another', '192.0.2.1', true).outcome, 'refused');
    assert.equal(guess('another', '192.0.2.2', true).outcome, 'in');
    assert.equal(guess('honest', '192.0.2.1', true).outcome, 'in');
  });

  it('count by network of 64 bits for IPv6, and mapped IPv4 as IPv4', () => {
    for (let host = 1; host <= GUESS_LIMITS.pair.burst; host += 1) {
      guess('u', `2001:db8::${host}`);
      guess('v', host % 2 ? '192.0.2.7' : '::ffff:192.0.2.7');
    }
    assert.equal(guess('u', '2001:db8::ffff').outcome, 'refused');
    assert.equal(guess('u', '2001:db8:0:1::1').outcome, 'wrong');
    assert.equal(guess('v', '192.0.2.7').outcome, 'refused');
  });

  it('leave a thousand right sign-ins at once alone', () => {
    for (let count = 0; count < 1_000; count += 1) {
      assert.equal(guess('u', '192.0.2.1', true).outcome, 'in');
    }
  });
});
