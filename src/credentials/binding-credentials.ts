import type { BindingRecord } from '../broker/model.js';
import type { Seals } from '../broker/ports.js';
import { administrationToken } from './administration-token.js';
import { availableCredentials, type ServiceAddress } from './available-credentials.js';

/** The credentials of a binding, with all their secrets. @throws SealError */
export function bindingCredentials(
  { seals }: { seals: Pick<Seals, 'open'> },
  service: ServiceAddress,
  binding: BindingRecord,
): { [field: string]: unknown } {
  const password = seals.open(binding.sealed_password, binding.username);
  const token = binding.administration && administrationToken({ ...binding, password });
  return availableCredentials(service, { ...binding, password, token });
}
