import type { Etcd3 } from 'etcd3';

/**
 * Makes `close` end the client's watches too. etcd3 goes on connecting for watchers that were not cancelled, for ever
 * and also after `close`, which keeps the tests' process alive.
 */
export function endingWatches(client: Etcd3): Etcd3 {
  const { watchManager } = client as unknown as { watchManager: { watchers: unknown[] } };
  const close = client.close.bind(client);
  client.close = () => {
    watchManager.watchers = [];
    close();
  };
  return client;
}
