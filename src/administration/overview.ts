import type { Access, BindingRecord, OperationRecord } from '../broker/model.js';
import type { KeySpaceCount } from './key-browser.js';

/** A binding as people see it: without its password. */
export interface BindingSummary {
  binding_id: string;
  app_guid?: string;
  key_space: string;
  access: Access;
  username: string;
  state: BindingRecord['state'] | 'expired';
  created_at: string;
  expires_at?: string;
}

/** What an instance holds, as far as it is known. Bytes and counts. */
export interface Fill {
  stored?: number;
  quota: number;
  keys: number;
  connections?: number;
}

/** What a person wants to know of an instance at first. */
export interface Overview {
  etcdVersion: string;
  fill: Fill;
  keySpaces: KeySpaceCount[];
  bindings: BindingSummary[];
  /** There are more bindings than are told of. */
  hasMoreBindings: boolean;
  operations: OperationRecord[];
}

export function summaryOf({
  binding_id,
  attributes,
  key_space,
  access,
  username,
  state,
  expired,
  created_at,
  expiry,
}: BindingRecord): BindingSummary {
  return {
    binding_id,
    ...(attributes.app_guid === undefined ? {} : { app_guid: attributes.app_guid }),
    ...{ key_space, access, username, state: expired ? 'expired' : state, created_at },
    ...(expiry === undefined ? {} : { expires_at: expiry.expires_at }),
  };
}
