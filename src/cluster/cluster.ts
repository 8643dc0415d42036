import type { BackingCluster } from '../broker/ports.js';
import { type CallObserver, type ClusterAddress, EtcdClient } from '../etcd/client.js';
import { AccessControl } from './access-control.js';
import { type AlarmLog, AlarmWatch } from './alarm-watch.js';
import { withDomainErrors } from './domain-errors.js';
import { Inventory } from './inventory.js';
import { TenantKeys } from './tenant-keys.js';

export interface ClusterOptions {
  log: AlarmLog;
  /** Is told of each call to etcd. */
  observe?: CallObserver;
  /** Is told of the alarms that are raised, whenever they are looked at. */
  onAlarms?: (raised: readonly string[]) => void;
}

/** A backing etcd cluster: its connection and all that the broker does with it besides keeping records. */
export class Cluster implements BackingCluster {
  readonly client: EtcdClient;
  readonly access: AccessControl;
  readonly tenantKeys: TenantKeys;
  readonly inventory: Inventory;
  readonly alarms: AlarmWatch;

  constructor(
    readonly id: string,
    address: ClusterAddress,
    { log, observe, onAlarms = () => undefined }: ClusterOptions,
  ) {
    this.client = new EtcdClient(address, observe);
    this.access = withDomainErrors(new AccessControl(this.client));
    this.tenantKeys = withDomainErrors(new TenantKeys(this.client));
    this.inventory = withDomainErrors(new Inventory(this.client));
    this.alarms = new AlarmWatch(this.client, log, onAlarms);
  }

  get alarm(): string | undefined {
    const { raised } = this.alarms;
    return raised.length === 0
      ? undefined
      : `No bindings are made while the etcd cluster has raised the alarm ${raised.join(', ')}, since they would not be safe. Ask its operator to make room (delete, compact, defragment) and to disarm the alarm.`;
  }

  close(): void {
    this.client.close();
  }
}
