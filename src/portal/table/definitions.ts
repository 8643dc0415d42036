import { authMessages } from '../../etcd/messages/auth.js';
import { clusterMessages } from '../../etcd/messages/cluster.js';
import { electionMessages } from '../../etcd/messages/election.js';
import { kvMessages } from '../../etcd/messages/kv.js';
import { leaseMessages } from '../../etcd/messages/lease.js';
import { lockMessages } from '../../etcd/messages/lock.js';
import { maintenanceMessages } from '../../etcd/messages/maintenance.js';
import { watchMessages } from '../../etcd/messages/watch.js';

/** All of etcd's messages in one object. */
export const messages = {
  ...kvMessages,
  ...watchMessages,
  ...leaseMessages,
  ...lockMessages,
  ...electionMessages,
  ...authMessages,
  ...clusterMessages,
  ...maintenanceMessages,
} as const;

export type MessageName = keyof typeof messages;
