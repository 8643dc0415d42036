import { isIP, isIPv6 } from 'node:net';
import type { Request } from 'express';

/**
 * Who sent a request, for counting: an IPv4 address, or the /64 network of an IPv6 address, since whoever has one of
 * its addresses has them all.
 *
 * `X-Forwarded-For` is read from its end, where the nearest proxy writes, and only as far as the setting "trust
 * proxy" goes. The rest is the client's to invent.
 */
export function clientAddress({ app, socket, headers }: Request): string {
  const isTrusted = app.get('trust proxy fn') as (address: string, hop: number) => boolean;
  const forwarded = String(headers['x-forwarded-for'] ?? '');
  let address = socket.remoteAddress ?? '';
  let end = forwarded.length;
  for (let hop = 0; end > 0 && isTrusted(address, hop); hop += 1) {
    const start = forwarded.lastIndexOf(',', end - 1) + 1;
    const next = forwarded.slice(start, end).trim();
    if (isIP(next) === 0) {
      break;
    }
    address = next;
    end = start - 1;
  }
  return isIPv6(address) ? networkOf(address) : address;
}

const NETWORK_GROUPS = 4;
const GROUPS = 8;

function networkOf(address: string): string {
  const [, mapped] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address) ?? [];
  if (mapped !== undefined) {
    return mapped;
  }
  const [before = '', after = ''] = address.split('::');
  const head = before.split(':').filter(Boolean);
  const tail = after.split(':').filter(Boolean);
  const zeros = Array<string>(Math.max(0, GROUPS - head.length - tail.length)).fill('0');
  const network = [...head, ...zeros, ...tail].slice(0, NETWORK_GROUPS);
  return `${network.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`;
}
