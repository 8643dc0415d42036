import assert from 'node:assert/strict';
import fc from 'fast-check';
import { bindingPath, instancePath, startTestBroker, type TestBroker } from '../support/broker.js';
import { assertError, assertNothingChanges, assertRefused } from '../support/replies.js';

describe('Bad input', () => {
  let broker: TestBroker;

  before(async () => {
    broker = await startTestBroker();
    assert.equal((await broker.provision('i')).status, 201);
    assert.equal((await broker.bind('i', 'b')).status, 201);
  });
  after(() => broker.dispose());

  /** Every request that takes a body. */
  const withBody = (): [string, string][] => [
    ['PUT', instancePath('new')],
    ['PATCH', instancePath('i')],
    ['PUT', bindingPath('i', 'new')],
  ];

  for (const [what, body] of [
    ['nothing', ''],
    ['white space', ' \r\n\t'],
    ['half an object', '{"service_id":'],
    ['a comma too many', '{"service_id":"x",}'],
    ['single quotes', "{'service_id':'x'}"],
    ['a form', 'service_id=x&plan_id=y'],
    ['XML', '<service_id>x</service_id>'],
    ['an array', '[]'],
    ['an array of objects', '[{"service_id":"x"}]'],
    ['a text', '"text"'],
    ['a number', '42'],
    ['true', 'true'],
    ['null', 'null'],
    ['NaN', 'NaN'],
    ['a NUL', '\u0000'],
    ['a very deep array', '['.repeat(500_000)],
  ] as const) {
    it(`rule 9: ${what} as the body is 400 and changes nothing`, async () => {
      await assertNothingChanges(broker, async () => {
        for (const [method, path] of withBody()) {
          assertError(await broker.send(method, path, { body }), 400);
        }
      });
    });
  }

  it('rule 9: a body of 5 MB is refused and changes nothing', async () => {
    const body = JSON.stringify(broker.provisionBody({ context: { filler: 'x'.repeat(5 << 20) } }));
    await assertNothingChanges(broker, async () => {
      for (const [method, path] of withBody()) {
        assertError(await broker.send(method, path, { body }), 413);
      }
    });
  });

  for (const [what, object] of [
    ['nested a thousand deep', nested(1_000)],
    ['nested a hundred thousand deep', nested(100_000)],
    ['that grows beyond what etcd takes when it is written again', `{"a":[${'1e20,'.repeat(100_000)}0]}`],
    ['that is a text', '"x"'],
    ['that is an array', '[]'],
    ['that is true', 'true'],
  ] as const) {
    for (const field of ['context', 'parameters', 'bind_resource', 'previous_values', 'maintenance_info']) {
      it(`rule 9: a ${field} ${what} is 400 and changes nothing`, async () => {
        const fields = JSON.stringify(broker.provisionBody()).slice(0, -1);
        const body = `${fields},"${field}":${object}}`;
        const takes: Record<string, (method: string, path: string) => boolean> = {
          bind_resource: (_method, path) => path.includes('/service_bindings/'),
          previous_values: (method) => method === 'PATCH',
          maintenance_info: (_method, path) => !path.includes('/service_bindings/'),
        };
        await assertNothingChanges(broker, async () => {
          for (const [method, path] of withBody()) {
            if (takes[field]?.(method, path) ?? true) {
              assertError(await broker.send(method, path, { body }), 400);
            }
          }
        });
      });
    }
  }

  it('a __proto__ in a body changes nothing but itself', async () => {
    const fields = JSON.stringify(broker.provisionBody()).slice(0, -1);
    const evil = '{"__proto__":{"polluted":true,"key_space":"x"},"constructor":{"prototype":{"polluted":1}}}';
    await assertNothingChanges(broker, async () => {
      const body = `${fields},"parameters":${evil}}`;
      assertError(await broker.send('PUT', instancePath('proto'), { body }), 400);
      assertError(await broker.send('PATCH', instancePath('i'), { body }), 400);
      assertError(await broker.send('PUT', bindingPath('i', 'proto'), { body }), 400);
      // A field may not come from __proto__ either.
      const hidden = JSON.stringify(broker.provisionBody());
      assertError(await broker.send('PUT', instancePath('proto'), { body: `{"__proto__":${hidden}}` }), 400);
    });
    const body = `${fields},"context":${evil},"__proto__":{"x":1}}`;
    assert.equal((await broker.send('PUT', instancePath('proto'), { body })).status, 201);
    assert.equal((await broker.send('PUT', instancePath('proto'), { body })).status, 200);
    assert.equal(({} as { polluted?: unknown }).polluted, undefined);
  });

  for (const [what, headers, status] of [
    ['no content type', { 'content-type': undefined }, 201],
    ['another content type', { 'content-type': 'text/plain' }, 201],
    ['a malformed content type', { 'content-type': ';;;' }, 201],
    ['a character set of another language', { 'content-type': 'application/json; charset=koi8-r' }, 400],
    ['an unknown encoding', { 'content-encoding': 'x-unknown' }, 400],
    ['an encoding that is not true', { 'content-encoding': 'gzip' }, 400],
    ['a content length that is no number', { 'content-length': 'x' }, 400],
  ] as const) {
    it(`a body with ${what} is answered by ${status}`, async () => {
      const id = what.replaceAll(' ', '-');
      const request = { body: broker.provisionBody(), headers };
      if (status === 201) {
        assert.equal((await broker.send('PUT', instancePath(id), request)).status, 201);
      } else {
        await assertNothingChanges(broker, async () => {
          assertError(await broker.send('PUT', instancePath(id), request), status);
        });
      }
    });
  }

  for (const id of [
    'with a space',
    'with/a slash',
    'with\\a backslash',
    '"quoted"',
    "it's",
    '..',
    '.',
    '%',
    '%2F',
    'a%00b',
    'nul\u0000nul',
    'line\r\nX-Injected: 1',
    'a?service_id=x#y',
    'ключ-和-🔑',
    'e\u0301',
    '\u00e9',
    '{}',
    '__proto__',
    'constructor',
    'last_operation',
    'service_bindings',
    'x'.repeat(200),
    '🔑'.repeat(100),
    '\u202eright to left',
  ]) {
    it(`${JSON.stringify(id.slice(0, 30))} is as good an id as any`, async () => {
      assert.equal((await broker.provision(id)).status, 201);
      assert.equal((await broker.provision(id)).status, 200);
      assert.equal((await broker.send('GET', instancePath(id))).status, 200);
      assert.equal((await broker.bind(id, id)).status, 201);
      const fetched = await broker.send('GET', bindingPath(id, id));
      assert.equal(fetched.status, 200);
      assert.equal(fetched.headers['x-injected'], undefined);
      assert.doesNotMatch(fetched.body.credentials.uri_cli.slice('ETCDCTL_API=3 etcdctl '.length), / .* /);
      assert.equal(fetched.body.credentials.instance_administration_api.instance_id, id);
      assert.equal((await broker.send('GET', `${instancePath(id)}/last_operation`)).status, 200);
      assert.equal((await broker.send('GET', `${bindingPath(id, id)}/last_operation`)).status, 200);
      assert.equal((await broker.unbind(id, id)).status, 200);
      assert.equal((await broker.deprovision(id)).status, 200);
      assert.equal((await broker.deprovision(id)).status, 410);
    });
  }

  for (const [what, id] of [
    ['empty', ''],
    ['257 characters long', 'x'.repeat(257)],
    ['8,000 characters long', 'x'.repeat(8_000)],
    ['not percent-encoded rightly', '%zz'],
    ['cut off in its percent-encoding', 'a%2'],
    ['a byte that is not UTF-8', '%ff'],
    ['a surrogate in UTF-8', '%ed%a0%80'],
  ] as const) {
    it(`rule 9: an id that is ${what} is a clear 4xx and creates nothing`, async () => {
      await assertNothingChanges(broker, async () => {
        const instance = `/v2/service_instances/${id}`;
        const binding = `${instancePath('i')}/service_bindings/${id}`;
        const ids = `?service_id=${broker.service.id}&plan_id=${broker.plan.id}`;
        for (const [method, path, body] of [
          ['PUT', instance, broker.provisionBody()],
          ['PATCH', instance, { service_id: broker.service.id }],
          ['GET', instance],
          ['GET', `${instance}/last_operation`],
          ['DELETE', `${instance}${ids}`],
          ['PUT', binding, broker.bindBody()],
          ['GET', binding],
          ['GET', `${binding}/last_operation`],
          ['DELETE', `${binding}${ids}`],
        ] as const) {
          assertRefused(await broker.send(method, path, body === undefined ? {} : { body }), `${method}`);
        }
      });
    });
  }

  it('a lone surrogate in a body is 400 where it is an id, and kept from harm elsewhere', async () => {
    const raw = (fields: Record<string, unknown>) =>
      JSON.stringify(broker.provisionBody(fields)).replaceAll('SURROGATE', '\\ud800');
    await assertNothingChanges(broker, async () => {
      for (const field of ['organization_guid', 'space_guid', 'service_id', 'plan_id']) {
        const body = raw({ [field]: 'aSURROGATE' });
        assertError(await broker.send('PUT', instancePath('lone'), { body }), 400);
      }
      const bound = JSON.stringify(broker.bindBody({ predecessor_binding_id: 'SURROGATE' }));
      const body = bound.replace('SURROGATE', '\\udc00');
      assertError(await broker.send('PUT', bindingPath('i', 'lone'), { body }), 400);
    });
    const body = raw({ context: { name: 'SURROGATE' } });
    assert.equal((await broker.send('PUT', instancePath('lone'), { body })).status, 201);
  });

  for (const query of [
    'accepts_incomplete=true&accepts_incomplete=false',
    'accepts_incomplete=true&accepts_incomplete=true',
    'accepts_incomplete[]=true',
    'accepts_incomplete=maybe',
  ]) {
    it(`rule 9: ?${query} is 400 wherever it is read, and changes nothing`, async () => {
      const read = !query.includes('[]');
      await assertNothingChanges(broker, async () => {
        const ids = `service_id=${broker.service.id}&plan_id=${broker.plan.id}`;
        if (read) {
          assertError(await broker.provision('new', {}, `?${query}`), 400);
          assertError(await broker.bind('i', 'new', {}, `?${query}`), 400);
          assertError(await broker.send('DELETE', `${instancePath('i')}?${ids}&${query}`), 400);
          assertError(await broker.send('DELETE', `${bindingPath('i', 'b')}?${ids}&${query}`), 400);
        }
      });
    });
  }

  for (const [what, query] of [
    ['nothing', () => ''],
    ['no plan_id', () => `service_id=${broker.service.id}`],
    ['no service_id', () => `plan_id=${broker.plan.id}`],
    ['an empty service_id', () => `service_id=&plan_id=${broker.plan.id}`],
    ['an empty plan_id', () => `service_id=${broker.service.id}&plan_id=`],
    [
      'two service_ids',
      () => `service_id=${broker.service.id}&service_id=${broker.service.id}&plan_id=${broker.plan.id}`,
    ],
    [
      'two plan_ids',
      () => `service_id=${broker.service.id}&plan_id=${broker.plan.id}&plan_id=${broker.plan.id}`,
    ],
  ] as const) {
    it(`rules 4 and 9: DELETE with ${what} in the query string is 400 and deletes nothing`, async () => {
      await assertNothingChanges(broker, async () => {
        for (const path of [instancePath('i'), bindingPath('i', 'b'), instancePath('none')]) {
          assertError(await broker.send('DELETE', `${path}?${query()}`), 400);
        }
      });
    });
  }

  it('unknown addresses are 404', async () => {
    await assertNothingChanges(broker, async () => {
      for (const path of [
        '/v2',
        '/v2/',
        '/v1/catalog',
        '/v2/catalog/x',
        '/v2/service_instances',
        '/v2/service_instances/',
        '/v2/service_instances//service_bindings/x',
        '/v2/service_instances/i/service_bindings',
        '/v2/service_instances/i/service_bindings/b/parameters',
        '/v2/service_instances/i/../../../etc/passwd',
        '/v2/../v2/catalogue',
        '//v2/catalog',
        '/v2%2Fcatalog',
      ]) {
        for (const method of ['GET', 'PUT', 'DELETE']) {
          assertError(await broker.send(method, path), 404);
        }
      }
    });
  });

  it('unknown methods are 405 and name those that there are', async () => {
    await assertNothingChanges(broker, async () => {
      for (const [path, methods, allow] of [
        [instancePath('i'), ['POST', 'OPTIONS', 'PROPFIND'], 'GET, PUT, PATCH, DELETE'],
        [bindingPath('i', 'b'), ['POST', 'PATCH', 'OPTIONS'], 'GET, PUT, DELETE'],
        [`${instancePath('i')}/last_operation`, ['PUT', 'POST', 'DELETE', 'OPTIONS'], 'GET'],
        [`${bindingPath('i', 'b')}/last_operation`, ['PUT', 'PATCH', 'DELETE'], 'GET'],
      ] as const) {
        for (const method of methods) {
          const reply = await broker.send(method, path);
          assertError(reply, 405);
          assert.equal(reply.headers.allow, allow);
        }
      }
    });
  });

  it('HEAD answers as GET does, without a body', async () => {
    await assertNothingChanges(broker, async () => {
      for (const [path, status] of [
        ['/v2/catalog', 200],
        [instancePath('i'), 200],
        [instancePath('none'), 404],
        [bindingPath('i', 'b'), 200],
        ['/health', 200],
        ['/nowhere', 404],
      ] as const) {
        const reply = await broker.send('HEAD', path);
        assert.equal(reply.status, status, path);
        assert.equal(reply.text, '');
      }
    });
  });

  it('any JSON at all as a body, or as any field of it, is never a 5xx', async function () {
    this.timeout(30_000);
    const fields = [
      'service_id',
      'plan_id',
      'organization_guid',
      'space_guid',
      'context',
      'parameters',
      'bind_resource',
      'app_guid',
      'predecessor_binding_id',
      'previous_values',
      'maintenance_info',
    ];
    let serial = 0;
    const body = fc.oneof(
      fc.json(),
      fc
        .tuple(fc.constantFrom(...fields), fc.jsonValue({ maxDepth: 4 }))
        .map(([field, value]) => JSON.stringify(broker.provisionBody({ [field]: value }))),
      fc.string().map((text) => text.replaceAll('\u0000', ' ')),
    );
    await fc.assert(
      fc.asyncProperty(fc.nat(2), body, async (which, text) => {
        serial += 1;
        const [method, path] = [
          ['PUT', instancePath(`any-${serial}`)],
          ['PATCH', instancePath('i')],
          ['PUT', bindingPath('i', `any-${serial}`)],
        ][which] as [string, string];
        const reply = await broker.send(method, path, { body: text });
        assert.ok(reply.status < 500, `${reply.status} ${reply.text}`);
        if (reply.status >= 400) {
          assertRefused(reply, text);
          if (method === 'PUT') {
            assertError(await broker.send('GET', path), 404);
          }
        }
      }),
      { numRuns: 150 },
    );
  });

  it('different ids never meet, and each finds its own', async function () {
    this.timeout(30_000);
    const id = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(id, id, async (one, other) => {
        fc.pre(one !== other);
        assert.equal((await broker.provision(one)).status, 201);
        assertError(await broker.send('GET', instancePath(other)), 404);
        assert.equal((await broker.provision(other)).status, 201);
        assert.equal((await broker.bind(one, one)).status, 201);
        assertError(await broker.send('GET', bindingPath(other, one)), 404);
        assertError(await broker.send('GET', bindingPath(one, other)), 404);
        assert.equal((await broker.deprovision(one)).status, 200);
        assert.equal((await broker.send('GET', instancePath(other))).status, 200);
        assert.equal((await broker.deprovision(other)).status, 200);
      }),
      {
        numRuns: 12,
        examples: [
          ['a', 'A'],
          ['a/b', 'a%2Fb'],
          ['é', 'e\u0301'],
        ],
      },
    );
  });
});

function nested(depth: number): string {
  return `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
}
