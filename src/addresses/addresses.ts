import { isIPv4, isIPv6 } from 'node:net';

/** An address as 16 bytes; IPv4 in its mapped form, `::ffff:a.b.c.d`. */
export interface Address {
  readonly bytes: Uint8Array;
  readonly family: 4 | 6;
}

const MAPPED_PREFIX = 12;

/**
 * Reads an address. IPv4-mapped IPv6 is IPv4, as a dual-stack socket shows IPv4 peers.
 * @returns undefined when it is none; a zone (`%eth0`) is none
 */
export function parseAddress(text: string): Address | undefined {
  if (isIPv4(text)) {
    const bytes = new Uint8Array(16).fill(0xff, 10, MAPPED_PREFIX);
    bytes.set(text.split('.').map(Number), MAPPED_PREFIX);
    return { bytes, family: 4 };
  }
  if (!isIPv6(text) || text.includes('%')) {
    return undefined;
  }
  const bytes = parseIPv6(text);
  return { bytes, family: isMapped(bytes) ? 4 : 6 };
}

function parseIPv6(text: string): Uint8Array {
  const bytes = new Uint8Array(16);
  const [head = '', tail] = text.split('::');
  bytes.set(groups(head));
  const end = groups(tail ?? '');
  bytes.set(end, 16 - end.length);
  return bytes;
}

/** @param text groups of an address that `isIPv6` takes, the last one perhaps in IPv4's form */
function groups(text: string): number[] {
  if (text === '') {
    return [];
  }
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) {
      return group.split('.').map(Number);
    }
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

function isMapped(bytes: Uint8Array): boolean {
  return bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
}

/** Keeps the first bits and clears the others. */
export function maskBytes(bytes: Uint8Array, bits: number): Uint8Array {
  return bytes.map((byte, index) => {
    const kept = Math.min(8, Math.max(0, bits - index * 8));
    return byte & (0xff00 >> kept);
  });
}

/** Whether the first bits are the same. */
export function haveSamePrefix(one: Uint8Array, other: Uint8Array, bits: number): boolean {
  for (let index = 0; index * 8 < bits; index += 1) {
    const kept = Math.min(8, bits - index * 8);
    if (((one[index] as number) ^ (other[index] as number)) & (0xff00 >> kept) & 0xff) {
      return false;
    }
  }
  return true;
}

export function formatAddress({ bytes, family }: Address): string {
  if (family === 4) {
    return bytes.subarray(MAPPED_PREFIX).join('.');
  }
  const hex = Array.from({ length: 8 }, (_, group) =>
    (((bytes[2 * group] as number) << 8) | (bytes[2 * group + 1] as number)).toString(16),
  );
  // RFC 5952: the longest run of zeros, the first of several, if it is longer than one group.
  const runs = hex.map((_, start) => hex.slice(start).findIndex((group) => group !== '0'));
  const lengths = runs.map((run, start) => (run < 0 ? 8 - start : run));
  const longest = Math.max(...lengths);
  if (longest < 2) {
    return hex.join(':');
  }
  const start = lengths.indexOf(longest);
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + longest).join(':')}`;
}

/** Whom a peer counts as: an IPv4 address, or the 64-bit network of an IPv6 one, since those have 2^64 to choose from. */
export function networkOf(text: string): string {
  const address = parseAddress(text.replace(/%.*$/, ''));
  if (address === undefined) {
    return text;
  }
  return address.family === 4
    ? formatAddress(address)
    : formatAddress({ bytes: maskBytes(address.bytes, 64), family: 6 });
}
