import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  AsyncRequired,
  ConcurrencyError,
  InvalidRequest,
  MaintenanceInfoConflict,
  UnsupportedUpdate,
} from '../../src/broker/errors.js';
import type { BindingAttributes, InstanceRecord } from '../../src/broker/model.js';
import { finish, openOperation, operationOf, workOf } from '../../src/broker/operations/operations.js';
import { sameBinding, sameInstance } from '../../src/broker/requests/compare.js';
import {
  deletionMode,
  QUICKLY_DELETED_KEYS,
  SYNCHRONOUSLY_DELETED_KEYS,
} from '../../src/broker/requests/patience.js';
import { decideUpdate } from '../../src/broker/requests/update.js';
import type { Catalog, ServicePlan } from '../../src/catalog/types.js';

describe('Patience', () => {
  it('few keys are deleted before the answer, whatever the platform takes', () => {
    for (const accepts of [true, false]) {
      assert.equal(deletionMode(0, accepts), 'wait');
      assert.equal(deletionMode(QUICKLY_DELETED_KEYS, accepts), 'wait');
    }
  });

  it('many keys are deleted after a 202 where the platform takes it, before the answer where not', () => {
    for (const keys of [QUICKLY_DELETED_KEYS + 1, SYNCHRONOUSLY_DELETED_KEYS]) {
      assert.equal(deletionMode(keys, true), 'accept');
      assert.equal(deletionMode(keys, false), 'wait');
    }
  });

  it('rules 8 and 15: more than 200,000 keys are AsyncRequired without accepts_incomplete, in known words', () => {
    assert.equal(deletionMode(SYNCHRONOUSLY_DELETED_KEYS + 1, true), 'accept');
    assert.throws(
      () => deletionMode(SYNCHRONOUSLY_DELETED_KEYS + 1, false),
      (error: Error) =>
        error instanceof AsyncRequired &&
        error.message === 'This service plan requires client support for asynchronous service operations.',
    );
    assert.equal(SYNCHRONOUSLY_DELETED_KEYS, 200_000);
  });
});

const INSTANCE: InstanceRecord = {
  schema: 1,
  instance_id: 'i',
  state: 'ready',
  service_id: 'service',
  plan_id: 'plan',
  deployment_id: '0123456789abcdef01234567',
  organization_guid: 'o',
  space_guid: 's',
  context: { platform: 'cloudfoundry' },
  parameters: { size: 1, tags: ['a', { b: null }] },
  created_at: '2026-01-01T00:00:00.000Z',
  updated_at: '2026-01-01T00:00:00.000Z',
};
const BINDING: BindingAttributes = { service_id: 'service', plan_id: 'plan', parameters: {} };

describe('Comparison of requests', () => {
  it('rule 7: the same attributes are the same instance, whatever the order of parameters and the context', () => {
    const asked = { ...structuredClone(INSTANCE), context: {}, deployment_id: 'x' };
    asked.parameters = { tags: ['a', { b: null }], size: 1 };
    assert.equal(sameInstance(INSTANCE, asked), true);
  });

  for (const change of [
    { service_id: 'x' },
    { plan_id: 'x' },
    { organization_guid: 'x' },
    { space_guid: 'x' },
    { parameters: {} },
    { parameters: { ...INSTANCE.parameters, more: 1 } },
    { parameters: { size: '1', tags: ['a', { b: null }] } },
    { parameters: { size: 1, tags: [{ b: null }, 'a'] } },
  ]) {
    it(`rule 7: another instance with ${JSON.stringify(change)}`, () => {
      assert.equal(sameInstance(INSTANCE, { ...INSTANCE, ...change }), false);
    });
  }

  for (const change of [
    { service_id: 'x' },
    { plan_id: 'x' },
    { app_guid: 'x' },
    { predecessor_binding_id: 'x' },
    { bind_resource: { app_guid: 'x' } },
    { parameters: { access: 'readonly' } },
  ]) {
    it(`rule 18: another binding with ${JSON.stringify(change)}`, () => {
      assert.equal(sameBinding(BINDING, { ...BINDING, ...change }), false);
      assert.equal(sameBinding({ ...BINDING, ...change }, BINDING), false);
      assert.equal(sameBinding({ ...BINDING, ...change }, structuredClone({ ...BINDING, ...change })), true);
    });
  }
});

const plan = (id: string, planUpdateable = true): ServicePlan => ({
  id,
  name: id,
  description: id,
  free: true,
  bindable: true,
  bindingRotatable: true,
  planUpdateable,
  maintenanceInfo: { version: '1.0.0' },
  settings: { quotaBytes: 1, hasBackups: true },
  validators: {
    create: () => [],
    update: (parameters) => ('bad' in (parameters as object) ? ['bad is bad'] : []),
    bind: () => [],
  },
});
const { maintenanceInfo: _, ...unmaintained } = plan('unmaintained');
const PLANS = [plan('plan'), plan('larger'), plan('fixed', false), unmaintained];
const CATALOG = {
  findService: (id: string) => (id === 'service' ? {} : undefined),
  findPlan: (service: string, id: string) =>
    service === 'service' ? PLANS.find((one) => one.id === id) : undefined,
} as unknown as Catalog;

describe('Decision on an update', () => {
  const now = '2026-02-02T00:00:00.000Z';
  const decide = (request: object, instance = INSTANCE) =>
    decideUpdate(
      CATALOG,
      instance,
      { instance_id: 'i', service_id: 'service', hasPortals: true, acceptsIncomplete: false, ...request },
      now,
    );

  it('rule 10: what is not given stays', () => {
    assert.deepEqual(decide({}), { ...INSTANCE, updated_at: now });
  });

  it('rule 10: what is given changes, and nothing else', () => {
    assert.deepEqual(
      decide({ plan_id: 'larger', parameters: { size: 2 }, context: {}, maintenance_version: '1.0.0' }),
      {
        ...INSTANCE,
        plan_id: 'larger',
        parameters: { ...INSTANCE.parameters, size: 2 },
        context: {},
        maintenance_version: '1.0.0',
        updated_at: now,
      },
    );
  });

  it('a change of plan brings the maintenance version of the new plan', () => {
    const old = { ...INSTANCE, maintenance_version: '0.9.0' };
    assert.equal(decide({ plan_id: 'larger' }, old).maintenance_version, '1.0.0');
    assert.equal(decide({ plan_id: 'plan', parameters: {} }, old).maintenance_version, '0.9.0');
    assert.equal('maintenance_version' in decide({ plan_id: 'unmaintained' }, old), false);
  });

  it('fields of a newer release survive', () => {
    const newer = { ...INSTANCE, of_a_newer_release: { a: 1 } };
    assert.deepEqual(decide({ parameters: {} }, newer), { ...newer, updated_at: now });
  });

  it('does not change what it was given', () => {
    const frozen = Object.freeze({ ...INSTANCE, parameters: Object.freeze({ size: 1 }) });
    assert.deepEqual(decide({ parameters: { size: 2 } }, frozen).parameters, { size: 2 });
  });

  for (const [what, request, kind] of [
    ['another service', { service_id: 'other' }, InvalidRequest],
    ['an unknown plan', { plan_id: 'unknown' }, InvalidRequest],
    ['bad parameters', { parameters: { bad: 1 } }, InvalidRequest],
    ['another version', { maintenance_version: '2.0.0' }, MaintenanceInfoConflict],
  ] as const) {
    it(`rule 10: refuses ${what}`, () => {
      assert.throws(() => decide(request), kind);
    });
  }

  it('rule 10: a plan that can not be left is kept, but may be named', () => {
    const fixed = { ...INSTANCE, plan_id: 'fixed' };
    assert.throws(() => decide({ plan_id: 'plan' }, fixed), UnsupportedUpdate);
    assert.equal(decide({ plan_id: 'fixed' }, fixed).plan_id, 'fixed');
  });

  it('a plan that is no longer offered can be left', () => {
    assert.equal(decide({ plan_id: 'plan' }, { ...INSTANCE, plan_id: 'withdrawn' }).plan_id, 'plan');
  });

  it('an instance of a plan that is no longer offered can be renamed, and nothing else', () => {
    const withdrawn = { ...INSTANCE, plan_id: 'withdrawn' };
    const context = { instance_name: 'new' };
    assert.deepEqual(decide({ context, plan_id: 'withdrawn' }, withdrawn).context, context);
    assert.throws(() => decide({ parameters: { size: 2 } }, withdrawn), InvalidRequest);
  });

  it('rule 12: is refused while the instance is being deleted', () => {
    assert.throws(() => decide({}, { ...INSTANCE, state: 'deprovisioning' }), ConcurrencyError);
  });
});

describe('Operations', () => {
  it('rule 13: have ids that are safe in a URL and never the same', () => {
    const ids = new Set(
      Array.from({ length: 1_000 }, () => openOperation('bind', { instance_id: 'i' }, 'me').id),
    );
    assert.equal(ids.size, 1_000);
    for (const id of ids) {
      assert.equal(encodeURIComponent(id), id);
    }
  });

  it('are the same operation again when they are read from a record’s work', () => {
    fc.assert(
      fc.property(fc.string(), fc.option(fc.string(), { nil: undefined }), (instance_id, binding) => {
        const resource = { instance_id, ...(binding === undefined ? {} : { binding_id: binding }) };
        const operation = openOperation('unbind', resource, 'me');
        assert.deepEqual(operationOf(workOf(operation), resource), operation);
        const ended = finish(operation, 'failed', 'why');
        assert.deepEqual([ended.state, ended.description, ended.id], ['failed', 'why', operation.id]);
      }),
    );
  });
});
