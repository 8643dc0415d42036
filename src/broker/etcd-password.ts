import type { Secret } from '../credentials/secret.js';
import type { BindingRecord } from './model.js';
import type { Seals } from './ports.js';

/** What a binding's user in etcd has for a password. It is the application's own until that one is rotated. */
export function etcdPassword(
  seals: Pick<Seals, 'open'>,
  {
    username,
    sealed_password,
    sealed_etcd_password = sealed_password,
  }: Pick<BindingRecord, 'username' | 'sealed_password' | 'sealed_etcd_password'>,
): Secret {
  return seals.open(sealed_etcd_password, username);
}
