import { EVERY_DEPLOYMENT, signInLink } from '../../../src/dashboard/address.js';
import { DashboardLinks } from '../../../src/records/dashboard-links.js';
import { startTestBroker, type TestBroker } from '../../support/broker.js';
import { rootConnection } from '../../support/root-connection.js';
import { asTenant, type Credentials } from '../../support/tenant.js';

/** A broker with portals and one instance that is in use. */
export class TestDeployment {
  private constructor(
    readonly broker: TestBroker,
    readonly instance: string,
    readonly dashboardUrl: string,
    readonly credentials: Credentials,
  ) {}

  static async start(instance: string, env: Record<string, string> = {}): Promise<TestDeployment> {
    const broker = await startTestBroker({ PORTAL: 'on', ...env });
    const { dashboard_url } = (await broker.provision(instance)).body;
    const parameters = { key_space: 'shared' };
    const bound = await broker.bind(instance, 'web', { parameters, app_guid: 'the-web-application' });
    await broker.bind(instance, 'worker', { parameters: { ...parameters, access: 'readonly' } });
    const { credentials } = bound.body;
    await asTenant(credentials, async (client) => {
      await client.put('config/feature/dark-mode').value('on');
      await client.put('config/feature/limits').value('{"requests": 100, "burst": [1, 2, 3]}');
      await client.put('config/name').value('first');
      await client.put('config/name').value('second');
      await client.put('example/words/hello').value('A greeting');
      await client.put('image').value(Buffer.from([0, 1, 2, 0xff]));
      await client.put('<b>bold</b>').value('<script>alert(1)</script>');
    });
    return new TestDeployment(broker, instance, dashboard_url, credentials);
  }

  get id(): string {
    return this.credentials.deployment_id;
  }

  /** An address that signs in once. */
  async link(scope = this.id, user = 'a person'): Promise<string> {
    const client = await rootConnection(this.broker);
    try {
      const token = await new DashboardLinks(client).create(scope, user);
      this.broker.secrets.add(token);
      return signInLink(this.broker.application.publicUrl, scope, token);
    } finally {
      client.close();
    }
  }

  operatorLink(): Promise<string> {
    return this.link(EVERY_DEPLOYMENT, 'operator');
  }

  dispose(): Promise<void> {
    return this.broker.dispose();
  }
}
