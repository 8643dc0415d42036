import assert from 'node:assert/strict';
import type { Reply, TestBroker } from './broker.js';
import { snapshotOfCluster } from './cluster.js';

/** What must never reach a user: stacks, paths, modules, the names of libraries and of etcd's calls. */
const INTERNAL =
  /\n|\bat \S+ \(|node_modules|\.[jt]s:\d|file:|\/(?:home|tmp|usr|work)\/|grpc|etcdserver|ECONN|undefined|\[object/i;

/** Holds that a reply is an error as the specification describes it ("Service Broker Errors"). */
export function assertError(reply: Reply, status: number, error?: string): void {
  assert.equal(reply.status, status, `${status} expected, got ${reply.status} ${reply.text}`);
  assert.match(reply.headers['content-type'] ?? '', /^application\/json/);
  const { description, ...others } = reply.body ?? {};
  assert.equal(typeof description, 'string', `a description expected, got ${reply.text}`);
  assert.match(description, /^\S.{8,}[.!]$/u, 'a sentence expected');
  assert.doesNotMatch(description, INTERNAL);
  assert.equal(others.error, error, `the error code ${error} expected, got ${reply.text}`);
}

/** A 4xx of any kind, in good form: what is expected of an answer to nonsense. */
export function assertRefused(reply: Reply, about: string): void {
  assert.ok(reply.status >= 400 && reply.status < 500, `4xx expected for ${about}, got ${reply.status}`);
  assertError(reply, reply.status, reply.body?.error);
}

/** Rule 9: holds that what `during` does leaves all records, roles and users in etcd exactly as they were. */
export async function assertNothingChanges<T>(broker: TestBroker, during: () => Promise<T>): Promise<T> {
  const before = await snapshotOfCluster(broker);
  const result = await during();
  assert.deepEqual(await snapshotOfCluster(broker), before, 'nothing in etcd may have changed');
  return result;
}
