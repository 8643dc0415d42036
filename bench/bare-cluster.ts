import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Etcd3, Permission } from 'etcd3';
import type { BrokerProcess } from './broker-process.js';

/** The floor: what the broker has to ask of etcd at the least, asked by `etcd3` without any broker. */
export class BareCluster {
  constructor(readonly client: Etcd3) {}

  /** Signs in as root to the embedded cluster of a broker, whose endpoint and authority a binding tells. */
  static async open(broker: BrokerProcess, credentials: { [field: string]: string }): Promise<BareCluster> {
    const password = (await readFile(path.join(broker.dataDir, 'etcd-root-password'), 'utf8')).trim();
    return new BareCluster(
      new Etcd3({
        hosts: new URL(credentials.uri as string).origin,
        credentials: { rootCertificate: Buffer.from(credentials.ca_certificate_base64 as string, 'base64') },
        auth: { username: 'root', password },
      }),
    );
  }

  /** The four calls that make an access: no record of it, nothing repeated. */
  async grant(name: string): Promise<void> {
    const { auth } = this.client;
    const prefix = `/d/${name}/`;
    await auth.roleAdd({ name });
    await auth.roleGrantPermission({
      name,
      perm: {
        permType: Permission[Permission.Readwrite] as keyof typeof Permission,
        key: Buffer.from(prefix),
        range_end: Buffer.from(`${prefix.slice(0, -1)}0`),
      },
    });
    await auth.userAdd({ name, password: randomBytes(24).toString('base64url') });
    await auth.userGrantRole({ user: name, role: name });
  }

  async remove(name: string): Promise<void> {
    await this.client.auth.userDelete({ name });
    await this.client.auth.roleDelete({ role: name });
  }

  close(): void {
    this.client.close();
  }
}
