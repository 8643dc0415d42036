import { runningEmbeddedCluster } from '../../src/embedded/running.js';
import { EtcdClient } from '../../src/etcd/client.js';
import type { TestBroker } from './broker.js';

/** A connection with every right to the etcd of a test's broker, to look into it and to break things. */
export async function rootConnection(broker: TestBroker): Promise<EtcdClient> {
  return new EtcdClient(await runningEmbeddedCluster(broker.dataDir));
}
