import assert from 'node:assert/strict';
import { mock } from 'node:test';
import express, { type Request } from 'express';
import { Secret } from '../../src/credentials/secret.js';
import { authentication } from '../../src/osb/http/authentication.js';
import { clientAddress } from '../../src/osb/http/client-address.js';
import { HttpError } from '../../src/osb/http/errors.js';
import { GuessLimit } from '../../src/osb/http/guess-limit.js';
import { startTestBroker } from '../support/broker.js';
import { assertError } from '../support/replies.js';

const basic = (text: string) => `Basic ${Buffer.from(text, 'utf8').toString('base64')}`;

describe('Authentication', () => {
  const pairs = [
    { username: 'new', password: new Secret('new:password') },
    { username: 'old', password: new Secret('pässwörd-🔑') },
  ];

  const open = (limited: string[] = []) => authentication(pairs, (address) => limited.push(address));
  const right = basic('new:new:password');
  const wrong = basic('new:wrong');

  /** The status with which a request with this header is turned away, 0 when it is let in. */
  const statusOf = (
    authorization: string | undefined,
    check = open(),
    remoteAddress = '10.0.0.1',
  ): number => {
    let status = 0;
    let isLetIn = false;
    try {
      check(
        requestFrom(remoteAddress, 0, authorization === undefined ? {} : { authorization }),
        {} as never,
        () => {
          isLetIn = true;
        },
      );
    } catch (error) {
      assert.ok(error instanceof HttpError);
      status = error.status;
    }
    assert.equal(isLetIn, status === 0);
    return status;
  };
  const repeat = (times: number, send: () => number) => Array.from({ length: times }, send);
  const all = (times: number, status: number) => Array<number>(times).fill(status);

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

  it('after 60 wrong passwords nobody learns by more of them whether one is right, until the minute is over', () => {
    const limited: string[] = [];
    const check = open(limited);
    const clock = mock.method(performance, 'now', () => 1_000);
    try {
      assert.deepEqual(
        repeat(60, () => statusOf(wrong, check)),
        all(60, 401),
      );
      assert.deepEqual(limited, ['10.0.0.1']);
      for (const now of [1_000, 60_999]) {
        clock.mock.mockImplementation(() => now);
        assert.equal(statusOf(wrong, check), 429);
        assert.equal(statusOf(right, check), 429);
        assert.equal(statusOf(right, check, '10.0.0.2'), 0, 'other addresses are not concerned');
      }
      clock.mock.mockImplementation(() => 61_001);
      assert.equal(statusOf(wrong, check), 401);
      assert.equal(statusOf(right, check), 0);
      assert.deepEqual(limited, ['10.0.0.1'], 'told once');
    } finally {
      clock.mock.restore();
    }
  });

  it('requests without credentials are never counted, nor are good ones', () => {
    const check = open();
    assert.deepEqual(
      repeat(700, () => statusOf(undefined, check)),
      all(700, 401),
    );
    assert.deepEqual(
      repeat(700, () => statusOf(right, check)),
      all(700, 0),
    );
  });

  it('a platform that has signed in before gets through, whatever others send from its address', () => {
    const check = open();
    assert.equal(statusOf(right, check), 0);
    assert.deepEqual(
      repeat(61, () => statusOf(wrong, check)),
      [...all(60, 401), 429],
    );
    assert.equal(statusOf(right, check), 0);
    assert.equal(statusOf(basic('old:pässwörd-🔑'), check), 0);
  });

  it('guesses with one user name do not count for another, up to 600 from an address', () => {
    const check = open();
    repeat(61, () => statusOf(basic('admin:guess'), check));
    assert.equal(statusOf(basic('admin:guess'), check), 429);
    assert.equal(statusOf(wrong, check), 401);
    let name = 0;
    repeat(539, () => {
      name += 1;
      return statusOf(basic(`${name}:guess`), check);
    });
    assert.equal(statusOf(basic('another:guess'), check), 429);
    assert.equal(statusOf(right, check), 429);
  });

  it('remembers no more than 10,000 counts', () => {
    const limit = new GuessLimit();
    repeat(60, () => Number(limit.count('10.0.0.1', 'name')));
    assert.ok(limit.secondsToWait('10.0.0.1', 'name') > 0);
    for (let index = 0; index < 5_000; index += 1) {
      limit.count(`10.1.${index >> 8}.${index & 255}`, 'x'.repeat(16_000));
    }
    assert.equal(limit.secondsToWait('10.0.0.1', 'name'), 0, 'the oldest are forgotten');
  });

  it('over HTTP: wrong ones are 401, then 429 with Retry-After; a browser without a login harms nobody', async () => {
    const broker = await startTestBroker({
      BROKER_PREVIOUS_USERNAME: 'previous',
      BROKER_PREVIOUS_PASSWORD: 'the-previous-password',
      TRUST_PROXY: '1',
    });
    try {
      broker.secrets.add('the-previous-password');
      const previous = basic('previous:the-previous-password');
      const send = (authorization: string | undefined, address: string) =>
        broker.send('GET', '/v2/catalog', { headers: { authorization, 'x-forwarded-for': address } });
      await Promise.all(Array.from({ length: 61 }, () => send(undefined, '10.0.0.3')));
      assert.equal((await send(previous, '10.0.0.3')).status, 200);
      const guesses = await Promise.all(
        // Only the address that the proxy itself has added counts; the rest is the client's to invent.
        Array.from({ length: 60 }, (_, index) => send(basic('previous:x'), `10.9.9.${index}, 10.0.0.1`)),
      );
      assert.ok(guesses.every(({ status }) => status === 401));
      const refused = await send(previous, '10.0.0.1');
      assertError(refused, 429);
      const seconds = Number(refused.headers['retry-after']);
      assert.ok(seconds > 0 && seconds <= 60);
      assert.equal((await send(previous, '10.0.0.2')).status, 200);
    } finally {
      await broker.dispose();
    }
  });
});

describe("The client's address", () => {
  const LONG = `${'x'.repeat(100)},`.repeat(100);

  for (const [what, trust, peer, forwarded, expected] of [
    ['no proxy', 0, '10.0.0.1', '1.1.1.1', '10.0.0.1'],
    ['one proxy, no header', 1, '10.0.0.1', undefined, '10.0.0.1'],
    ['one proxy', 1, '10.0.0.1', '2.2.2.2, 1.1.1.1', '1.1.1.1'],
    ['two proxies', 2, '10.0.0.1', '3.3.3.3,2.2.2.2 ,1.1.1.1', '2.2.2.2'],
    ['more proxies than there are', 9, '10.0.0.1', '1.1.1.1', '1.1.1.1'],
    ['a client that invents a long list', 1, '10.0.0.1', `${LONG}1.1.1.1`, '1.1.1.1'],
    ['a client behind no proxy that invents text', 1, '10.0.0.1', LONG, '10.0.0.1'],
    ['an empty entry', 2, '10.0.0.1', '2.2.2.2,,1.1.1.1', '1.1.1.1'],
    ['a proxy in the list', ['10.0.0.0/8'], '10.0.0.1', '2.2.2.2, 1.1.1.1', '1.1.1.1'],
    ['a second proxy in the list', ['10.0.0.0/8'], '10.0.0.1', '2.2.2.2, 1.1.1.1, 10.3.3.3', '1.1.1.1'],
    ['a client that comes directly', ['10.0.0.0/8'], '9.9.9.9', '1.1.1.1', '9.9.9.9'],
    ['a name in the list', ['loopback'], '::ffff:127.0.0.1', '1.1.1.1', '1.1.1.1'],
    ['IPv4 written as IPv6', 0, '::ffff:9.9.9.9', undefined, '9.9.9.9'],
    ['IPv6', 0, '2001:DB8:0:1::1', undefined, '2001:db8:0:1::/64'],
    ['IPv6 of the same network', 0, '2001:db8::1:2:3:4:5', undefined, '2001:db8:0:1::/64'],
    ['IPv6 loopback', 0, '::1', undefined, '0:0:0:0::/64'],
    ['IPv6 with a zone', 0, 'fe80::1%eth0', undefined, 'fe80:0:0:0::/64'],
  ] as const) {
    it(`with ${what} it is ${expected}`, () => {
      const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
      assert.equal(
        clientAddress(requestFrom(peer, typeof trust === 'number' ? trust : [...trust], headers)),
        expected,
      );
    });
  }
});

function requestFrom(
  remoteAddress: string,
  trust: number | string[],
  headers: Record<string, string>,
): Request {
  const app = express();
  app.set('trust proxy', trust);
  return { app, socket: { remoteAddress }, headers } as unknown as Request;
}
