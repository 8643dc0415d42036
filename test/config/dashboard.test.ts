import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { readConfig } from '../../src/config/config.js';

const SECRET = 'a secret of the dashboard';
const URLS = { PUBLIC_URL: 'https://broker.example.com', CF_API_URL: 'https://api.example.com/' };

describe('The settings of the dashboard', () => {
  it('say where people sign in, and show the secret nowhere', () => {
    const { dashboard } = readConfig({ ...URLS, DASHBOARD_CLIENT_SECRET: SECRET });
    assert.deepEqual(
      [dashboard?.apiUrl, dashboard?.clientId, dashboard?.clientSecret.reveal()],
      ['https://api.example.com', 'compose-etcd-dashboard', SECRET],
    );
    assert.doesNotMatch(inspect(dashboard, { depth: 9 }) + JSON.stringify(dashboard), /a secret/);
    assert.equal(readConfig(URLS).dashboard, undefined);
    assert.equal(readConfig({ ...URLS, DASHBOARD_CLIENT_SECRET: SECRET }, 'tools').dashboard, undefined);
  });

  it('find the platform that the broker runs on', () => {
    const application = { cf_api: 'https://api.cf.example', uris: ['broker.cf.example'], name: 'broker' };
    const { dashboard, publicUrl } = readConfig({
      VCAP_APPLICATION: JSON.stringify(application),
      DASHBOARD_CLIENT_SECRET: SECRET,
      ETCD_ENDPOINTS: 'https://etcd.example:2379',
      PORTAL: 'off',
      BROKER_USERNAME: 'broker',
      BROKER_PASSWORD: 'a password of the broker',
      BROKER_ENCRYPTION_KEY: Buffer.alloc(32).toString('base64'),
    });
    assert.equal(dashboard?.apiUrl, 'https://api.cf.example');
    assert.equal(publicUrl, 'https://broker.cf.example');
  });

  for (const [what, env, message] of [
    ['no platform', { PUBLIC_URL: URLS.PUBLIC_URL }, /CF_API_URL is not set but DASHBOARD_CLIENT_SECRET is/],
    ['no address', { CF_API_URL: URLS.CF_API_URL, PORT: '0' }, /PUBLIC_URL is not set but/],
    ['a short secret', { ...URLS, DASHBOARD_CLIENT_SECRET: 'short' }, /DASHBOARD_CLIENT_SECRET must have/],
    ['no certificate', { ...URLS, CF_API_CA_CERT: 'none' }, /CF_API_CA_CERT must be PEM text/],
    ['an address with a user', { ...URLS, CF_API_URL: 'https://u:p@api' }, /CF_API_URL must be an http/],
  ] as const) {
    it(`are refused with ${what}`, () => {
      assert.throws(() => readConfig({ DASHBOARD_CLIENT_SECRET: SECRET, ...env }), message);
    });
  }
});
