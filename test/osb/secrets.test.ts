import assert from 'node:assert/strict';
import { access } from 'node:fs/promises';
import { PASSWORD, startTestBroker } from '../support/broker.js';
import { assertNoSecret } from '../support/secrets.js';

describe('The search for secrets in all that a broker says', () => {
  const secret = 'a+secret/of-32~characters"in_all';

  for (const [what, text] of [
    ['as it is', `before ${secret} after`],
    ['in JSON', JSON.stringify({ password: secret })],
    ['in a URL', `https://user:${encodeURIComponent(secret)}@host`],
    ['in a header', `Basic ${Buffer.from(`user:${secret}`).toString('base64')}`],
    ['in a header with a longer name', `Basic ${Buffer.from(`users:${secret}`).toString('base64')}`],
    ['in a header with a name that is longer still', Buffer.from(`userss:${secret}:x`).toString('base64')],
    ['in hexadecimal', Buffer.from(secret).toString('hex')],
  ] as const) {
    it(`finds one ${what}, and does not repeat it`, () => {
      assert.throws(
        () => assertNoSecret([secret], { 'the log': ['harmless', text] }),
        (error: Error) => /stands in the log/.test(error.message) && !error.message.includes(secret),
      );
    });
  }

  it('finds none where there is none', () => {
    assertNoSecret([secret], { 'the log': ['harmless', '[secret]'] });
  });

  for (const [what, leak] of [
    ["a binding's password in the log", 'log'],
    ["the platform's password in what is said at the start", 'said'],
    ["the encryption key in the log's errors", 'key'],
  ] as const) {
    it(`fails a test whose broker leaks ${what}, and cleans up all the same`, async () => {
      const broker = await startTestBroker();
      try {
        await broker.provision('i');
        const { credentials } = (await broker.bind('i', 'b')).body;
        assert.ok(broker.secrets.size >= 4, 'platform, root, encryption key, binding');
        if (leak === 'log') {
          broker.logged.push(JSON.stringify({ uri: credentials.uri }));
        } else if (leak === 'said') {
          broker.said.push(`Sign in with ${PASSWORD}`);
        } else {
          broker.logged.push(`bad key ${[...broker.secrets].find((text) => /=$/.test(text))}`);
        }
      } finally {
        await assert.rejects(broker.dispose(), /A secret stands in/);
      }
      await assert.rejects(access(broker.dataDir));
      await assert.rejects(broker.send('GET', '/health'));
    });
  }
});
