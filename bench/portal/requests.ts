import { codecOf } from '../../src/etcd/messages/codec.js';
import { type CallDefinition, services } from '../../src/etcd/messages/services.js';
import { rangeOfPrefix } from '../../src/etcd/ranges.js';

/** The path and the encoded messages, in base64. */
export interface EncodedCall {
  readonly path: string;
  readonly messages: readonly string[];
}

const KEYS = 100;
const VALUE = Buffer.alloc(100, 'v');

/**
 * The calls of the load under a prefix: `get` and `put` of keys of their own, `watch` of a part of the key space and
 * `event`, a put into it.
 */
export function encodedCalls(prefix: string): { [name: string]: EncodedCall } {
  const each = <T>(make: (index: number) => T) => Array.from({ length: KEYS }, (_, index) => make(index));
  const key = (text: string) => Buffer.from(`${prefix}${text}`);
  return {
    get: encodedCall(
      'KV/Range',
      each((index) => ({ key: key(`words/${index}`) })),
    ),
    put: encodedCall(
      'KV/Put',
      each((index) => ({ key: key(`words/${index}`), value: VALUE })),
    ),
    watch: encodedCall('Watch/Watch', [{ create_request: rangeOfPrefix(key('events/').toString()) }]),
    event: encodedCall(
      'KV/Put',
      each((index) => ({ key: key(`events/${index}`), value: VALUE })),
    ),
  };
}

/** @param name service and method, e.g. `KV/Range` */
export function encodedCall(name: string, requests: readonly object[]): EncodedCall {
  const [short = '', method = ''] = name.split('/');
  const service = `etcdserverpb.${short}` as keyof typeof services;
  const [request] = (services[service] as { [method: string]: CallDefinition })[method] as CallDefinition;
  const codec = codecOf(request);
  return {
    path: `/${service}/${method}`,
    messages: requests.map((message) => Buffer.from(codec.encode(message)).toString('base64')),
  };
}
