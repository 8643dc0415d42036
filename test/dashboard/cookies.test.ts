import assert from 'node:assert/strict';
import type { Request, Response } from 'express';
import { LongCookie } from '../../src/dashboard/cookies.js';

/** What a browser sends after these answers. */
function browser() {
  const kept = new Map<string, string>();
  const response = {
    cookie: (name: string, value: string) => kept.set(name, value),
    clearCookie: (name: string) => kept.delete(name),
  } as unknown as Response;
  const request = () =>
    ({ headers: { cookie: [...kept].map((pair) => pair.join('=')).join('; ') } }) as unknown as Request;
  return { kept, response, request };
}

describe('A long cookie', () => {
  const cookie = new LongCookie('session', '/dashboard');

  it('is what was written last, however long what was there before', () => {
    const { kept, response, request } = browser();
    for (const length of [9_000, 10, 3_600, 3_601, 14_400]) {
      const value = Array.from({ length }, (_, index) => 'abcdefghij'[index % 10]).join('');
      cookie.write(response, value);
      assert.equal(cookie.read(request()), value);
      for (const part of kept.values()) {
        assert.ok(part.length < 4_000);
      }
    }
    assert.throws(() => cookie.write(response, 'x'.repeat(14_401)), /too long/);
    cookie.clear(response);
    assert.equal(kept.size, 0);
    assert.equal(cookie.read(request()), undefined);
  });
});
