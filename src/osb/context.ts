import type { BrokerParts } from '../broker/parts.js';
import type { Catalog } from '../catalog/types.js';
import type { ServiceAddress } from '../credentials/available-credentials.js';

/** What the endpoints work with. */
export interface OsbContext {
  broker: BrokerParts;
  catalog: Catalog;
  /** What applications are told. The CA certificate and the endpoints may change while the broker runs. */
  service: ServiceAddress;
}
