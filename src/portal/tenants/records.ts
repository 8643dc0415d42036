import type { Access } from '../../broker/model.js';
import type { Secret } from '../../credentials/secret.js';

/** Opens what the broker sealed. @throws SealError */
export interface SealOpener {
  open(text: string, purpose: string): Secret;
}

/** What a portal keeps of a binding's record. */
export interface BindingFacts {
  username: string;
  keyPrefix: string;
  access: Access;
  /** The application's. */
  sealedPassword: string;
  /** What the portal signs in to etcd with. */
  sealedEtcdPassword: string;
}

/** What a portal keeps of an instance's record. */
export interface InstanceFacts {
  instanceId: string;
  deploymentId: string;
  planId: string;
  isReady: boolean;
  /** A backup is being restored into it. */
  isHeld: boolean;
  parameters: Readonly<Record<string, unknown>>;
}

/** A record has not the shape that the broker writes (see `broker/model.ts`). The message names no value. */
export class MalformedRecord extends Error {
  override readonly name = 'MalformedRecord';
}

/** Every prefix is `/d/<24 hexadecimal digits>/<key space>/`: a portal lets nobody near anything else. */
const KEY_PREFIX = /^\/d\/[0-9a-f]{24}\/[A-Za-z0-9_-]{1,128}\/$/;
/** Goes into tokens and header values. */
const USERNAME = /^[A-Za-z0-9_-]{1,128}$/;

/**
 * Reads a binding's record.
 * @returns undefined when its credentials do not work: it is being made or removed, or has expired
 * @throws MalformedRecord
 */
export function readBinding(value: Buffer): BindingFacts | undefined {
  const record = parse(value);
  if (record.state !== 'ready' || record.expired === true) {
    return undefined;
  }
  const { username, key_prefix, access, sealed_password, sealed_etcd_password = sealed_password } = record;
  check(typeof username === 'string' && USERNAME.test(username), 'username');
  check(typeof key_prefix === 'string' && KEY_PREFIX.test(key_prefix), 'key_prefix');
  check(access === 'readwrite' || access === 'readonly', 'access');
  check(isSealed(sealed_password), 'sealed_password');
  check(isSealed(sealed_etcd_password), 'sealed_etcd_password');
  return {
    username,
    keyPrefix: key_prefix,
    access,
    sealedPassword: sealed_password,
    sealedEtcdPassword: sealed_etcd_password,
  };
}

/** @throws MalformedRecord */
export function readInstance(value: Buffer): InstanceFacts {
  const { instance_id, deployment_id, plan_id, state, parameters = {} } = parse(value);
  check(typeof instance_id === 'string', 'instance_id');
  check(typeof deployment_id === 'string' && /^[0-9a-f]{24}$/.test(deployment_id), 'deployment_id');
  check(typeof plan_id === 'string', 'plan_id');
  check(typeof parameters === 'object' && parameters !== null, 'parameters');
  return {
    instanceId: instance_id,
    deploymentId: deployment_id,
    planId: plan_id,
    isReady: state === 'ready',
    isHeld: state === 'restoring',
    parameters: parameters as Record<string, unknown>,
  };
}

function isSealed(text: unknown): text is string {
  return typeof text === 'string' && text.length <= 1_024;
}

function parse(value: Buffer): Record<string, unknown> {
  let record: unknown;
  try {
    record = JSON.parse(value.toString('utf8'));
  } catch {
    // The parser's message quotes the text, which may hold what nobody may print.
    throw new MalformedRecord('It is not JSON.');
  }
  check(typeof record === 'object' && record !== null, 'the whole');
  const { schema } = record as { schema?: unknown };
  check(schema === 1, 'schema');
  return record as Record<string, unknown>;
}

function check(good: boolean, field: string): asserts good {
  if (!good) {
    throw new MalformedRecord(`${field} is not what the broker writes.`);
  }
}
