import { type Address, formatAddress, haveSamePrefix, maskBytes, parseAddress } from './addresses.js';

/** An entry of the parameter `whitelist`. */
export interface WhitelistEntry {
  /** An address or a network in CIDR notation, IPv4 or IPv6. */
  readonly ip: string;
  readonly description?: string;
}

export const MOST_ENTRIES = 200;

interface Network {
  readonly first: Address;
  /** Of the 128 bits of the mapped form. */
  readonly bits: number;
}

/** Who may connect. An empty list lets everybody in. */
export class Whitelist {
  readonly #networks: readonly Network[];

  /** @throws RangeError when an entry is none; see {@link whitelistProblems} */
  constructor(entries: readonly WhitelistEntry[]) {
    this.#networks = entries.map(({ ip }) => {
      const network = parseNetwork(ip);
      if (typeof network === 'string') {
        throw new RangeError(network);
      }
      return network;
    });
  }

  /** @param peer an address as a socket gives it; one that can't be read is let in only by an empty list */
  allows(peer: string): boolean {
    if (this.#networks.length === 0) {
      return true;
    }
    const address = parseAddress(peer.replace(/%.*$/, ''));
    return address !== undefined && this.#networks.some((network) => contains(network, address));
  }
}

/**
 * What is wrong with a `whitelist`, each for a person to read; empty when it is good.
 * @param value as it came in the request; undefined is good
 */
export function whitelistProblems(value: unknown): string[] {
  if (value === undefined) {
    return [];
  }
  if (!Array.isArray(value)) {
    return ['whitelist must be a list of objects such as {"ip": "192.0.2.0/24", "description": "office"}'];
  }
  if (value.length > MOST_ENTRIES) {
    return [`whitelist must have at most ${MOST_ENTRIES} entries`];
  }
  return value.flatMap((entry: unknown, index) => {
    const { ip } = (typeof entry === 'object' && entry !== null ? entry : {}) as { ip?: unknown };
    if (typeof ip !== 'string') {
      return [`whitelist[${index}].ip must be an IPv4 or IPv6 address or a network such as 192.0.2.0/24`];
    }
    const network = parseNetwork(ip);
    return typeof network === 'string' ? [`whitelist[${index}].ip ${network}`] : [];
  });
}

/** @returns what is wrong, when it is no network */
function parseNetwork(text: string): Network | string {
  const [, ip = '', length] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const address = parseAddress(ip);
  if (address === undefined) {
    return 'must be an IPv4 or IPv6 address or a network such as 192.0.2.0/24';
  }
  const isDotted = !ip.includes(':');
  const most = isDotted ? 32 : 128;
  const prefix = length === undefined ? most : Number(length);
  if (prefix > most) {
    return `must have a prefix length of at most ${most}`;
  }
  const bits = isDotted ? prefix + 96 : prefix;
  const first = maskBytes(address.bytes, bits);
  if (Buffer.compare(first, address.bytes) !== 0) {
    // Somebody who writes 10.1.2.3/8 may mean one address, and would let in sixteen million.
    const network = formatAddress({ bytes: first, family: isDotted ? 4 : 6 });
    return `has bits set beyond its prefix length: write ${network}/${prefix} for the network or ${ip} for the address`;
  }
  return { first: address, bits };
}

/** A network of IPv6 that happens to cover the mapped addresses, such as `::/0`, says nothing about IPv4. */
function contains({ first, bits }: Network, { bytes, family }: Address): boolean {
  return family === first.family && haveSamePrefix(bytes, first.bytes, bits);
}
