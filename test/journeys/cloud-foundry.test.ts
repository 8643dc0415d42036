import assert from 'node:assert/strict';
import { startTestBroker } from '../support/broker.js';
import { brokerProcess } from '../support/broker-process.js';
import { ENCRYPTION_KEY, OperatorEtcd } from '../support/operator-etcd.js';
import { type Credentials, connect } from '../support/tenant.js';

const APPLICATION = JSON.stringify({
  application_id: 'an-application',
  name: 'compose-etcd-broker',
  uris: ['broker.example.com'],
});

describe('On Cloud Foundry', () => {
  let etcd: OperatorEtcd;

  before(async () => {
    etcd = await OperatorEtcd.start();
  });
  after(() => etcd?.stop());

  /** A service as `cf create-user-provided-service` makes it, with credentials in Compose's form. */
  function services(omit: readonly string[] = []): string {
    const { host } = new URL(etcd.endpoint);
    const login = `root:${etcd.rootPassword}`;
    const credentials = {
      uri: `https://${login}@${host}`,
      uri_cli: `ETCDCTL_API=3 etcdctl --endpoints=${etcd.endpoint} --user=${login}`,
      ca_certificate_base64: Buffer.from(etcd.caCertificate as string).toString('base64'),
    };
    const kept = Object.entries(credentials).filter(([name]) => !omit.includes(name));
    const service = {
      name: 'our-etcd',
      label: 'user-provided',
      tags: [],
      credentials: Object.fromEntries(kept),
    };
    return JSON.stringify({ 'user-provided': [service] });
  }

  for (const omit of [[], ['uri'], ['uri_cli']]) {
    const without = omit.length === 0 ? '' : ` without ${omit[0]}`;
    it(`a user-provided service with Compose's credentials${without} is the cluster`, async () => {
      const broker = await startTestBroker({
        BROKER_ENCRYPTION_KEY: ENCRYPTION_KEY,
        VCAP_APPLICATION: APPLICATION,
        VCAP_SERVICES: services(omit),
      });
      try {
        assert.deepEqual(broker.said.slice(0, 2), [
          'etcd: settings come from the bound service "our-etcd" (VCAP_SERVICES)',
          `etcd: reachable at ${etcd.endpoint}`,
        ]);
        assert.equal((await broker.provision('i')).status, 201);
        const bound = await broker.bind('i', 'b');
        assert.equal(bound.status, 201, bound.text);
        const credentials: Credentials & { instance_administration_api: { root: string } } =
          bound.body.credentials;
        assert.equal(credentials.instance_administration_api.root, 'https://broker.example.com/api');
        const client = connect(credentials, credentials.uri);
        try {
          await client.put(`${credentials.key_prefix}word`).value('hello');
          assert.equal(await client.get(`${credentials.key_prefix}word`).string(), 'hello');
        } finally {
          client.close();
        }
        assert.equal((await broker.deprovision('i')).status, 200);
      } finally {
        await broker.dispose();
      }
    });
  }

  it('the broker starts no etcd of its own, and says so in one line', async () => {
    const broker = await brokerProcess({ VCAP_APPLICATION: APPLICATION, VCAP_SERVICES: '{}' });
    try {
      broker.launch();
      const { code } = await broker.outcome();
      assert.equal(code, 1);
      assert.match(broker.stderr, /^ETCD_ENDPOINTS is not set .* on Cloud Foundry [^\n]*\n$/);
      assert.equal(broker.stdout, '');
      assert.deepEqual(await broker.etcds(), []);
    } finally {
      await broker.dispose();
    }
  });
});
