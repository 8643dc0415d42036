import assert from 'node:assert/strict';
import { mock } from 'node:test';
import { Secret } from '../../src/credentials/secret.js';
import { authentication } from '../../src/osb/http/authentication.js';
import { HttpError } from '../../src/osb/http/errors.js';
import { FailureLimit } from '../../src/osb/http/failure-limit.js';
import { startTestBroker } from '../support/broker.js';
import { assertError } from '../support/replies.js';

const basic = (text: string) => `Basic ${Buffer.from(text, 'utf8').toString('base64')}`;

describe('Authentication', () => {
  const pairs = [
    { username: 'new', password: new Secret('new:password') },
    { username: 'old', password: new Secret('pässwörd-🔑') },
  ];

  /** The status with which a request with this header is turned away, 0 when it is let in. */
  const statusOf = (authorization: string | undefined, check = authentication(pairs)): number => {
    let status = 0;
    let isLetIn = false;
    try {
      const request = { ip: '10.0.0.1', headers: authorization === undefined ? {} : { authorization } };
      check(request as never, {} as never, () => {
        isLetIn = true;
      });
    } catch (error) {
      assert.ok(error instanceof HttpError);
      status = error.status;
    }
    assert.equal(isLetIn, status === 0);
    return status;
  };

  for (const [what, header] of [
    ['the current pair, with a colon in the password', basic('new:new:password')],
    ['the previous pair, in UTF-8', basic('old:pässwörd-🔑')],
    ['the scheme in lower case', basic('new:new:password').replace('Basic', 'basic')],
    ['the scheme in upper case', basic('new:new:password').replace('Basic', 'BASIC')],
    ['more spaces', basic('new:new:password').replace(' ', '   ')],
    ['base64 without its padding', basic('old:pässwörd-🔑').replace(/=+$/, '')],
  ] as const) {
    it(`rule 6: ${what} is let in`, () => {
      assert.equal(statusOf(header), 0);
    });
  }

  for (const [what, header] of [
    ['nothing', undefined],
    ['an empty header', ''],
    ['the scheme alone', 'Basic'],
    ['another scheme', basic('new:new:password').replace('Basic', 'Bearer')],
    ['base64 of nothing', basic('')],
    ['no colon', basic('new')],
    ['no password', basic('new:')],
    ['a password that begins so', basic('new:new')],
    ['a longer password', basic('new:new:password2')],
    ['a password in another case', basic('new:NEW:PASSWORD')],
    ["one pair's name and the other's password", basic('new:pässwörd-🔑')],
    ['an empty name', basic(':new:password')],
    ['what is no base64', 'Basic !!!'],
    ['the pair as it is', 'Basic new:new:password'],
    ['a NUL at the end', basic('new:new:password\u0000')],
    ['two tokens', `${basic('new:new:password')} x`],
  ] as const) {
    it(`rule 6: ${what} is 401`, () => {
      assert.equal(statusOf(header), 401);
    });
  }

  it('an address that failed 60 times is 429 for the rest of the minute, and then let in again', () => {
    const check = authentication(pairs);
    const clock = mock.method(performance, 'now', () => 1_000);
    try {
      for (let failure = 0; failure < 60; failure += 1) {
        assert.equal(statusOf('Basic eDp5', check), 401);
      }
      assert.equal(statusOf(basic('new:new:password'), check), 429);
      clock.mock.mockImplementation(() => 60_999);
      assert.equal(statusOf(basic('new:new:password'), check), 429);
      clock.mock.mockImplementation(() => 61_000);
      assert.equal(statusOf(basic('new:new:password'), check), 0);
      assert.equal(statusOf('Basic eDp5', check), 401);
      assert.equal(statusOf(basic('new:new:password'), check), 0);
    } finally {
      clock.mock.restore();
    }
  });

  it('good requests are never counted', () => {
    const check = authentication(pairs);
    for (let request = 0; request < 200; request += 1) {
      assert.equal(statusOf(basic('new:new:password'), check), 0);
    }
  });

  it('addresses are counted apart, and no more than 10,000 are remembered', () => {
    const limit = new FailureLimit(2);
    limit.count('a');
    limit.count('a');
    limit.count('b');
    assert.ok(limit.secondsToWait('a') > 0 && limit.secondsToWait('a') <= 60);
    assert.equal(limit.secondsToWait('b'), 0);
    for (let address = 0; address < 10_000; address += 1) {
      limit.count(`x${address}`);
    }
    assert.equal(limit.secondsToWait('a'), 0, 'the oldest is forgotten');
  });

  it('over HTTP: 60 times 401, then 429 with Retry-After, and the previous pair is good as well', async () => {
    const broker = await startTestBroker({
      BROKER_PREVIOUS_USERNAME: 'previous',
      BROKER_PREVIOUS_PASSWORD: 'the-previous-password',
      TRUST_PROXY: '1',
    });
    try {
      broker.secrets.add('the-previous-password');
      const send = (authorization: string, address: string) =>
        broker.send('GET', '/v2/catalog', { headers: { authorization, 'x-forwarded-for': address } });
      assert.equal((await send(basic('previous:the-previous-password'), '10.0.0.1')).status, 200);
      const wrong = await Promise.all(
        // Only the address that the proxy itself has added counts; the rest is the client's to invent.
        Array.from({ length: 60 }, (_, index) => send('Basic eDp5', `10.9.9.${index}, 10.0.0.1`)),
      );
      assert.ok(wrong.every(({ status }) => status === 401));
      const refused = await send(basic('previous:the-previous-password'), '10.0.0.1');
      assertError(refused, 429);
      const seconds = Number(refused.headers['retry-after']);
      assert.ok(seconds > 0 && seconds <= 60);
      assert.equal((await send(basic('previous:the-previous-password'), '10.0.0.2')).status, 200);
    } finally {
      await broker.dispose();
    }
  });
});
