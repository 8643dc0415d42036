import { ClusterRefuses, ClusterUnavailable, NoSpace } from '../broker/errors.js';
import { EtcdError } from '../etcd/errors.js';

/** What etcd's error is to the broker; everything else stays what it is. */
export function asDomainError(error: unknown): unknown {
  if (!(error instanceof EtcdError)) {
    return error;
  }
  switch (error.kind) {
    case 'no-space':
      return new NoSpace({ cause: error });
    case 'denied':
    case 'wrong-password':
      return new ClusterRefuses({ cause: error });
    default:
      return new ClusterUnavailable({ cause: error });
  }
}

/**
 * An adapter as the broker sees it: its methods throw errors of broker/errors.ts instead of etcd's. Within itself the
 * adapter goes on to tell etcd's apart.
 */
export function withDomainErrors<T extends object>(adapter: T): T {
  return new Proxy(adapter, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function'
        ? (...args: unknown[]) => translated(value.apply(target, args))
        : value;
    },
  });
}

function translated(result: unknown): unknown {
  if (result instanceof Promise) {
    return result.catch(rethrow);
  }
  return isAsyncIterable(result) ? translatedItems(result) : result;
}

async function* translatedItems(items: AsyncIterable<unknown>): AsyncGenerator<unknown> {
  try {
    yield* items;
  } catch (error) {
    rethrow(error);
  }
}

function rethrow(error: unknown): never {
  throw asDomainError(error);
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}
