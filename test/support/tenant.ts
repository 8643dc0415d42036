import { Etcd3 } from 'etcd3';

/** What an application finds in its credentials. */
export interface Credentials {
  uri: string;
  username: string;
  password: string;
  ca_certificate_base64: string;
  key_prefix: string;
  [field: string]: unknown;
}

/** Does something as the application that has these credentials. */
export async function asTenant<T>(
  credentials: Credentials,
  use: (client: Etcd3, prefix: string) => Promise<T>,
): Promise<T> {
  const { uri, username, password, ca_certificate_base64, key_prefix } = credentials;
  const client = new Etcd3({
    hosts: new URL(uri).origin,
    credentials: { rootCertificate: Buffer.from(ca_certificate_base64, 'base64') },
    auth: { username, password },
  });
  try {
    return await use(client, key_prefix);
  } finally {
    client.close();
  }
}

/** Writes so many keys, a hundred in a transaction. */
export async function writeKeys(credentials: Credentials, count: number): Promise<void> {
  await asTenant(credentials, async (client, prefix) => {
    const transactions: Promise<unknown>[] = [];
    for (let first = 0; first < count; first += 100) {
      const size = Math.min(100, count - first);
      const puts = Array.from({ length: size }, (_, index) =>
        client.put(`${prefix}${first + index}`).value('x'),
      );
      transactions.push(
        client
          .if(prefix, 'Version', '==', 0)
          .then(...puts)
          .commit(),
      );
      if (transactions.length >= 20) {
        await Promise.all(transactions.splice(0));
      }
    }
    await Promise.all(transactions);
  });
}
