import assert from 'node:assert/strict';
import * as errors from '../../src/broker/errors.js';
import { asDomainError } from '../../src/cluster/domain-errors.js';
import { EtcdError, type EtcdErrorKind } from '../../src/etcd/errors.js';
import { HttpError, toErrorReply } from '../../src/osb/http/errors.js';
import { parseOriginatingIdentity } from '../../src/osb/http/originating-identity.js';

describe('Errors and their status', () => {
  for (const [error, status, code] of [
    [new errors.InvalidRequest('why'), 400],
    [new errors.NotFound('why'), 404],
    [new errors.Conflict('why'), 409],
    [new errors.Gone('why'), 410],
    [new errors.ConcurrencyError(), 422, 'ConcurrencyError'],
    [new errors.AsyncRequired(), 422, 'AsyncRequired'],
    [new errors.MaintenanceInfoConflict('why'), 422, 'MaintenanceInfoConflict'],
    [new errors.UnsupportedUpdate('why'), 422, 'PlanChangeNotSupported'],
    [new errors.OperationFailed('why'), 500],
    [new errors.Unavailable('why'), 503],
    [new errors.StillInProgress('why'), 503],
    [new HttpError(418, 'why'), 418],
  ] as const) {
    it(`rules 7 to 11: ${error.name} is ${status} ${code ?? ''}`, () => {
      const reply = toErrorReply(error);
      assert.equal(reply.status, status);
      assert.equal(reply.body.error, code);
      assert.equal(reply.body.description, error.message);
      assert.equal(reply.isFault, false);
      assert.equal('Retry-After' in reply.headers, status === 503);
    });
  }

  it('every error of the broker has a status of its own', () => {
    for (const Kind of Object.values(errors)) {
      const error = new (Kind as new () => errors.BrokerError)();
      const { status } = toErrorReply(error);
      const isOurs = [
        errors.BrokerError,
        errors.OperationFailed,
        errors.SealError,
        errors.MalformedRecord,
      ].includes(Kind as never);
      assert.equal(status === 500, isOurs, Kind.name);
    }
  });

  it('rule 15: the two that the Kubernetes client knows have its very words', () => {
    assert.equal(
      toErrorReply(new errors.AsyncRequired()).body.description,
      'This service plan requires client support for asynchronous service operations.',
    );
    assert.equal(
      toErrorReply(new errors.ConcurrencyError()).body.description,
      'The Service Broker does not support concurrent requests that mutate the same resource.',
    );
  });

  for (const kind of [
    'unavailable',
    'timeout',
    'stale-auth',
    'signed-out',
    'no-space',
    'already-exists',
    'not-found',
    'denied',
    'auth-not-enabled',
    'wrong-password',
    'other',
  ] satisfies EtcdErrorKind[]) {
    it(`rule 15a: etcd's "${kind}" is 503 in our own words`, () => {
      const thrown = new EtcdError(kind, 'connect ECONNREFUSED 10.0.0.7:2379');
      const reply = toErrorReply(asDomainError(thrown));
      assert.equal(reply.status, 503);
      assert.doesNotMatch(reply.body.description, /ECONN|10\.0/);
      assert.ok(Number(reply.headers['Retry-After']) > 0);
      assert.equal(reply.isFault, true);
    });
  }

  it('rule 15a: what nobody thought of says nothing of its inside', () => {
    for (const thrown of [
      new TypeError('x is undefined at /srv/app.js:3'),
      'text',
      undefined,
      null,
      { a: 1 },
    ]) {
      const reply = toErrorReply(thrown);
      assert.equal(reply.status, 500);
      assert.equal(reply.body.description, 'The service broker failed. Its log tells the operator why.');
      assert.equal(reply.isFault, true);
    }
  });

  it('a lost session may be tried again, a missing key is for the operator', () => {
    assert.equal(toErrorReply(new errors.SessionLost()).status, 503);
    const missing = toErrorReply(new errors.SealError('The key abc is missing.'));
    assert.equal(missing.status, 500);
    assert.match(missing.body.description, /The key abc is missing\. .*operator/);
  });
});

describe('Originating identity', () => {
  const encode = (value: unknown, as: BufferEncoding = 'base64') =>
    Buffer.from(JSON.stringify(value)).toString(as);

  it('rule 3: is decoded, in UTF-8, with padding or without, in either alphabet', () => {
    for (const value of [
      {},
      { user_id: 'u' },
      { name: 'ключ-🔑?>' },
      { groups: ['a', 'b'], deep: { x: 1 } },
    ]) {
      for (const text of [encode(value), encode(value).replace(/=+$/, ''), encode(value, 'base64url')]) {
        const identity = parseOriginatingIdentity(`kubernetes ${text}`);
        assert.deepEqual(identity, { platform: 'kubernetes', value });
      }
    }
  });

  it('rule 3: none is none', () => {
    assert.equal(parseOriginatingIdentity(undefined), undefined);
  });

  it('a __proto__ in it stays a field', () => {
    const text = Buffer.from('{"__proto__":{"polluted":1}}').toString('base64');
    parseOriginatingIdentity(`cloudfoundry ${text}`);
    assert.equal(({} as { polluted?: number }).polluted, undefined);
  });

  for (const header of [
    '',
    ' ',
    'cloudfoundry',
    `${encode({})}`,
    ` ${encode({})}`,
    'a b c',
    `a ${encode(1)}`,
  ]) {
    it(`rule 3: ${JSON.stringify(header)} is 400`, () => {
      assert.throws(() => parseOriginatingIdentity(header), { status: 400 });
    });
  }
});
