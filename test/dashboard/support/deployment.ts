import { EVERY_DEPLOYMENT, signInLink } from '../../../src/dashboard/address.js';
import { DashboardLinks } from '../../../src/records/dashboard-links.js';
import { keys } from '../../../src/records/keys.js';
import { type Entry, encodeMinute, encodeRows } from '../../../src/usage/encoding.js';
import { rowOf, type UsageRow } from '../../../src/usage/row.js';
import { MINUTES_AN_HOUR, minuteOf } from '../../../src/usage/times.js';
import { startTestBroker, type TestBroker } from '../../support/broker.js';
import { rootConnection } from '../../support/root-connection.js';
import { asTenant, type Credentials } from '../../support/tenant.js';

/** @param rest how much of the time is still to come, 0 to 1 */
function usageOf(minute: number, rest: number): UsageRow {
  const load = 2 + Math.sin(minute / 190) + 0.3 * Math.sin(minute / 7);
  const writes = Math.round(240 * load);
  const counts = { reads: writes * 4, writes, leases: Math.round(60 * load), watches: 2, others: 9 };
  const bytes = { received: writes * 400, sent: writes * 1_300 };
  const times = [120, 2_400, 1_300, 700, 300, 120, 30, 10, 3, 0, 0, 0].map((count, index) =>
    Math.round((count * load) / (index < 3 ? load : 1)),
  );
  const stored = Math.round((150 - 20 * rest + 3 * load) * 2 ** 20);
  const levels = {
    connections: Math.round(14 * load),
    streams: 6,
    stored,
    history: stored * 2,
    keys: 42_000,
  };
  return rowOf({ ...counts, ...bytes, errors: minute % 11 === 0 ? 14 : 0 }, times, levels);
}

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

  /** Figures of so many hours as portals and brokers leave them: calls that rise and fall with the hours. */
  async fillUsage(hours: number): Promise<void> {
    const client = await rootConnection(this.broker);
    const now = minuteOf(Date.now());
    const last = Math.floor(now / MINUTES_AN_HOUR) - 1;
    const rowAt = (minute: number) => usageOf(minute, (now - minute) / MINUTES_AN_HOUR / hours);
    const put = (key: string, value: Buffer | string) =>
      client.kv.put({ key: Buffer.from(key), value: Buffer.from(value) });
    try {
      await put(keys.seriesFolded, String(last));
      for (let hour = last - hours; hour <= last; hour += 1) {
        const rows = Array.from({ length: MINUTES_AN_HOUR }, (_, index): Entry<number> => {
          return [index, rowAt(hour * MINUTES_AN_HOUR + index)];
        });
        await put(keys.seriesMinutes(this.id, hour), encodeRows(rows));
      }
      for (let minute = (last + 1) * MINUTES_AN_HOUR; minute < now; minute += 1) {
        const value = encodeMinute([[this.id, rowAt(minute)]]);
        await put(keys.portalMinute(minute, 'another-portal', 0), value);
      }
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
