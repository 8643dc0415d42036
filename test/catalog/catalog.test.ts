import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { loadCatalog, parseCatalog } from '../../src/catalog/catalog.js';
import { CatalogError } from '../../src/catalog/error.js';
import { readConfig } from '../../src/config/config.js';

// biome-ignore lint/suspicious/noExplicitAny: the cases below change any member of a catalog to anything
type Json = any;

const FILE = readConfig({}).catalogPath;

function parse(change: (catalog: Json) => void): ReturnType<typeof parseCatalog> {
  const catalog: Json = JSON.parse(readFileSync(FILE, 'utf8'));
  catalog.services[0].plans.splice(1); // one is enough for what is changed here
  change(catalog);
  return parseCatalog(Buffer.from(JSON.stringify(catalog)), 'catalog.json');
}

function refusal(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof CatalogError, `a CatalogError, not ${error}`);
    assert.doesNotMatch(error.message, /\n/);
    return error.message;
  }
  return assert.fail('it should be refused');
}

function copy<T>(value: T): T {
  return structuredClone(value);
}

describe('the published catalog', () => {
  const catalog = loadCatalog(FILE);
  const published: Json = JSON.parse(catalog.body.toString());
  const services: Json[] = published.services;
  const plans: Json[] = services.flatMap((service) => service.plans);
  const schemas: Json[] = plans.flatMap(({ schemas: { service_instance, service_binding } }) => [
    service_instance.create.parameters,
    service_instance.update.parameters,
    service_binding.create.parameters,
  ]);

  it('offers compose-for-etcd with the plans Standard and Enterprise', () => {
    assert.deepEqual(
      services.map(({ name, plans }) => [name, plans.map((plan: Json) => plan.name)]),
      [['compose-for-etcd', ['Standard', 'Enterprise']]],
    );
  });

  it('rule 22: ids and names are unique, and stay what they were', () => {
    assert.deepEqual(
      [...services, ...plans].map(({ name, id }) => [name, id]),
      [
        ['compose-for-etcd', '9aac509b-6edd-4a2f-be24-3f216d6201f3'],
        ['Standard', '041c8d9b-e4a5-4f31-9c46-29a02f21e983'],
        ['Enterprise', 'd7dd8a79-b511-4d08-ae6c-78a1acd6e6c2'],
      ],
    );
  });

  it('rule 22: descriptions have at most 10,000 and the tags together at most 2,048 characters', () => {
    for (const { description } of [...services, ...plans]) {
      assert.ok(description.length > 0 && description.length <= 255, 'short enough for every platform');
    }
    for (const { tags } of services) {
      assert.ok(tags.join('').length <= 2048);
      assert.ok(tags.includes('etcd'));
    }
  });

  it('rule 23: every plan has its three schemas, of draft 4, without external references, of at most 64 kB', () => {
    assert.equal(schemas.length, 3 * plans.length);
    for (const schema of schemas) {
      assert.equal(schema.$schema, 'http://json-schema.org/draft-04/schema#');
      assert.equal(schema.type, 'object');
      assert.ok(Buffer.byteLength(JSON.stringify(schema)) <= 65_536);
      assert.doesNotMatch(JSON.stringify(schema), /"\$ref":"[^#]/);
    }
  });

  it('rule 23: every parameter is described', () => {
    for (const { properties } of schemas) {
      for (const [name, property] of Object.entries<Json>(properties)) {
        assert.match(property.description, /\.$/, name);
      }
    }
  });

  it('rule 24: maintenance_info, maximum_polling_duration and shareable have the types that platforms demand', () => {
    for (const { maintenance_info, maximum_polling_duration } of plans) {
      assert.match(maintenance_info.version, /^\d+\.\d+\.\d+$/);
      assert.ok(JSON.stringify(maintenance_info).length <= 2000);
      assert.ok(Number.isInteger(maximum_polling_duration) && maximum_polling_duration > 0);
    }
    for (const { metadata } of services) {
      assert.equal(typeof metadata.shareable, 'boolean');
    }
  });

  it('rule 25: a dashboard_client has all three of its members, if it is there', () => {
    for (const { dashboard_client } of services) {
      const members = dashboard_client && Object.keys(dashboard_client).sort();
      assert.deepEqual(members ?? ['id', 'redirect_uri', 'secret'], ['id', 'redirect_uri', 'secret']);
    }
  });

  it('rule 26: what the broker does for every instance is declared', () => {
    for (const service of services) {
      const {
        bindable,
        instances_retrievable,
        bindings_retrievable,
        allow_context_updates,
        plan_updateable,
      } = service;
      assert.deepEqual(
        [bindable, instances_retrievable, bindings_retrievable, allow_context_updates, plan_updateable],
        [true, true, true, true, true],
      );
    }
    assert.ok(plans.every(({ binding_rotatable }) => binding_rotatable === true));
  });

  it('rule 26: its entity tag is strong, and changes with it and only with it', () => {
    const hash = createHash('sha256').update(catalog.body).digest('base64url');
    assert.equal(catalog.etag, `"${hash}"`);
    assert.equal(loadCatalog(FILE).etag, catalog.etag);
    const other = parse(({ services: [service] }) => {
      service.description = 'another one';
    });
    assert.notEqual(other.etag, catalog.etag);
  });

  it('does not show what is for the broker alone', () => {
    assert.ok(plans.every((plan) => !('broker' in plan)));
    assert.doesNotMatch(catalog.body.toString(), /quota_bytes/);
    assert.deepEqual(catalog.services[0]?.plans[0]?.settings, {
      quotaBytes: 256 * 1024 * 1024,
      hasBackups: true,
    });
  });

  it('has an image that a browser can show', () => {
    const [, image = ''] = /^data:image\/svg\+xml;base64,(.+)$/.exec(services[0].metadata.imageUrl) ?? [];
    assert.match(Buffer.from(image, 'base64').toString(), /^<svg xmlns=.*<\/svg>$/);
  });
});

describe('a catalog', () => {
  it('finds a service, and a plan of that service only', () => {
    const catalog = parse(({ services }) => {
      const second = copy(services[0]);
      Object.assign(second, { id: 's2', name: 'second', bindable: false, plan_updateable: false });
      Object.assign(second.plans[0], { id: 'p2', maximum_polling_duration: undefined });
      delete second.plans[0].bindable;
      delete second.plans[0].plan_updateable;
      delete second.plans[0].binding_rotatable;
      services.push(second);
    });
    assert.equal(catalog.findService('s2')?.name, 'second');
    assert.equal(catalog.findService('constructor'), undefined);
    assert.equal(catalog.findPlan('s2', 'p2')?.name, 'Standard');
    assert.equal(catalog.findPlan('9aac509b-6edd-4a2f-be24-3f216d6201f3', 'p2'), undefined);
    assert.equal(catalog.findPlan('s3', 'p2'), undefined);
    const { bindable, planUpdateable, bindingRotatable, free } = catalog.findPlan('s2', 'p2') ?? {};
    assert.deepEqual([bindable, planUpdateable, bindingRotatable, free], [false, false, false, true]);
  });

  it('may be edited: names, descriptions, costs and plans', () => {
    const catalog = parse(({ services: [service] }) => {
      service.name = 'our-etcd';
      service.metadata.ours = { anything: 1 };
      service.dashboard_client = { id: 'dash', secret: 's', redirect_uri: 'https://broker.example' };
      service.plans[0].metadata.costs[0].amount.eur = 9.5;
      service.plans.push({
        ...copy(service.plans[0]),
        id: 'big',
        name: 'Big',
        broker: { quota_bytes: 2 ** 30 },
      });
    });
    assert.equal(catalog.services[0]?.plans[1]?.settings.quotaBytes, 2 ** 30);
  });

  const PLAN = '/services/0/plans/0';
  const CREATE = `${PLAN}/schemas/service_instance/create/parameters`;
  const secondPlan = (change: object) => (catalog: Json) => {
    const { plans } = catalog.services[0];
    plans.push({ ...copy(plans[0]), id: 'p2', name: 'Two', ...change });
  };
  const plan = (change: object) => (catalog: Json) => Object.assign(catalog.services[0].plans[0], change);
  const service = (change: object) => (catalog: Json) => Object.assign(catalog.services[0], change);
  const create = (change: object) => (catalog: Json) =>
    Object.assign(catalog.services[0].plans[0].schemas.service_instance.create.parameters, change);
  const secondService = (change: object) => (catalog: Json) => {
    const second = copy(catalog.services[0]);
    second.plans[0].id = 'p2';
    catalog.services.push({ ...second, id: 's2', name: 's2', ...change });
  };

  const cases: [what: string, change: (catalog: Json) => unknown, message: string | RegExp][] = [
    ['no service', (catalog) => catalog.services.pop(), '/services must have at least 1 entry'],
    [
      'a member that nobody knows',
      service({ bindabel: true }),
      /\/services\/0\/bindabel is not known; known are: id, /,
    ],
    [
      'a service without a description',
      service({ description: undefined }),
      '/services/0/description is missing',
    ],
    ['a blank description (rule 22)', plan({ description: ' ' }), /\/description must match .*blanks/],
    [
      'a long description (rule 22)',
      plan({ description: 'x'.repeat(10_001) }),
      /description .*at most 10000 characters/,
    ],
    [
      'a name with a blank',
      service({ name: 'our etcd' }),
      /\/services\/0\/name must match .*letters, digits/,
    ],
    [
      'too many tags (rule 22)',
      service({ tags: ['x'.repeat(2000), 'y'.repeat(49)] }),
      /\/services\/0\/tags: .*2048/,
    ],
    [
      'a service name twice (rule 22)',
      secondService({ name: 'compose-for-etcd' }),
      /\/services\/1\/name: .*own/,
    ],
    [
      'a plan id twice, in two services (rule 22)',
      (catalog) => {
        secondService({})(catalog);
        catalog.services[1].plans[0].id = '041c8d9b-e4a5-4f31-9c46-29a02f21e983';
      },
      '/services/1/plans/0/id: it is the same as /services/0/plans/0/id',
    ],
    ['a plan name twice (rule 22)', secondPlan({ name: 'Standard' }), /\/services\/0\/plans\/1\/name: /],
    [
      'a plan without a schema (rule 23)',
      (catalog) => delete catalog.services[0].plans[0].schemas.service_instance.update,
      `${PLAN}/schemas/service_instance/update is missing`,
    ],
    [
      'another draft (rule 23)',
      create({ $schema: 'http://json-schema.org/draft-07/schema#' }),
      `${CREATE}/$schema: `,
    ],
    [
      'an external reference (rule 23)',
      create({ properties: { a: { $ref: 'https://example.com/schema' } } }),
      `${CREATE}/properties/a/$ref: `,
    ],
    ['a schema with an id (rule 23)', create({ id: 'https://example.com/' }), `${CREATE}/id: `],
    [
      'a large schema (rule 23)',
      create({ description: 'x'.repeat(65_536) }),
      `${CREATE}: the schema must not be larger than 65536 bytes`,
    ],
    [
      'a schema of something else (rule 23)',
      create({ type: 'array' }),
      `${CREATE}/type: it must be "object"`,
    ],
    ['a schema that is none (rule 23)', create({ required: [] }), `${CREATE}: it is not a schema of draft 4`],
    [
      'a reference to nothing (rule 23)',
      create({ properties: { a: { $ref: '#/definitions/a' } } }),
      `${CREATE}: it is`,
    ],
    ['a broken pattern', create({ properties: { a: { type: 'string', pattern: '(' } } }), `${CREATE}: it is`],
    [
      'no semantic version (rule 24)',
      plan({ maintenance_info: { version: '1.0' } }),
      /maintenance_info\/version must match/,
    ],
    [
      'long maintenance_info (rule 24)',
      plan({ maintenance_info: { version: '1.0.0', description: 'x'.repeat(1990) } }),
      `${PLAN}/maintenance_info: it must have at most 2000 characters`,
    ],
    [
      'half a second (rule 24)',
      plan({ maximum_polling_duration: 0.5 }),
      /maximum_polling_duration must be a whole number/,
    ],
    [
      'shareable as text (rule 24)',
      service({ metadata: { shareable: 'true' } }),
      /shareable must be true or false/,
    ],
    [
      'an incomplete dashboard client (rule 25)',
      service({ dashboard_client: { id: 'a', secret: 'b' } }),
      '/services/0/dashboard_client/redirect_uri is missing',
    ],
    [
      'a dashboard client twice',
      (catalog) => {
        service({ dashboard_client: { id: 'a', secret: 'b', redirect_uri: 'https://c' } })(catalog);
        secondService({})(catalog);
      },
      '/services/1/dashboard_client/id: ',
    ],
    [
      'what is not true (rule 26)',
      service({ bindings_retrievable: false }),
      /bindings_retrievable must be true/,
    ],
    [
      'a permission that nobody needs',
      service({ requires: ['syslog_drain'] }),
      '/services/0/requires must have at most 0',
    ],
    [
      'an unknown setting of a plan',
      plan({ broker: { quota_bytes: 65536, x: 1 } }),
      `${PLAN}/broker/x is not known`,
    ],
    ['no settings of a plan', plan({ broker: undefined }), `${PLAN}/broker is missing`],
  ];
  for (const [what, change, message] of cases) {
    it(`with ${what} is refused`, () => {
      const said = refusal(() => parse(change));
      assert.ok(typeof message === 'string' ? said.includes(message) : message.test(said), said);
    });
  }

  describe('in a file', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'catalog-'));
    after(() => rmSync(folder, { recursive: true }));

    const contents: [what: string, content: string | Buffer, message: RegExp][] = [
      ['that is empty', '', /:1:1: it is not JSON: value expected/],
      ['with a comma too many', '{\n  "services": [],\n}', /:3:1: .*property name expected/],
      ['with a comma too few', '{\n  "a": 1\n  "b": 2\n}', /:3:3: .*comma expected/],
      ['with a member twice', '{"services": [],\n "services": []}', /:2:2: .*"services" is there twice/],
      ['with something after its end', '{}\n}', /:2:1: .*end of file expected/],
      ['that is not UTF-8', Buffer.from('{\n "ä": "\xe4"}', 'latin1'), /:2:3: it is not UTF-8/],
      ['that is a list', '[]', /: the whole must be an object\.$/],
    ];
    for (const [what, content, message] of contents) {
      it(`${what} is refused`, () => {
        const file = path.join(folder, 'catalog.json');
        writeFileSync(file, content);
        assert.match(
          refusal(() => loadCatalog(file)),
          message,
        );
      });
    }

    it('that is not there is refused with the setting that names it', () => {
      assert.match(
        refusal(() => loadCatalog(path.join(folder, 'none.json'))),
        /none\.json can't be read \(ENOENT\); set CATALOG/,
      );
    });

    it('that starts with a byte order mark is read', () => {
      const file = path.join(folder, 'bom.json');
      writeFileSync(file, `\ufeff${readFileSync(FILE, 'utf8')}`);
      assert.equal(loadCatalog(file).etag, loadCatalog(FILE).etag);
    });
  });
});
