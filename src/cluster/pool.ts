import { ClusterUnavailable } from '../broker/errors.js';
import { clusterOf } from '../broker/model.js';
import type { BackingCluster, Clusters } from '../broker/ports.js';

/** The backing clusters of a broker. The first one also holds the records. */
export class Pool<C extends BackingCluster> implements Clusters {
  readonly #byId: ReadonlyMap<string, C>;

  constructor(
    readonly first: C,
    ...others: C[]
  ) {
    this.#byId = new Map([first, ...others].map((cluster) => [cluster.id, cluster]));
  }

  of(record: { cluster?: string }): C {
    const id = clusterOf(record);
    const cluster = this.#byId.get(id);
    if (cluster === undefined) {
      throw new ClusterUnavailable(
        {},
        `The etcd cluster "${id}" is not among those of the service broker. Ask its operator to configure it.`,
      );
    }
    return cluster;
  }

  forNewInstance(): C {
    return this.first;
  }
}
