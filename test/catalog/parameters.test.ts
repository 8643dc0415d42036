import assert from 'node:assert/strict';
import fc from 'fast-check';
import { loadCatalog } from '../../src/catalog/catalog.js';
import { compileParameters } from '../../src/catalog/parameters.js';
import { readConfig } from '../../src/config/config.js';

describe('the validators of the plan Standard', () => {
  const plan = loadCatalog(readConfig({}).catalogPath).services[0]?.plans[0];
  assert.ok(plan);
  const { create, update, bind } = plan.validators;

  const good: unknown[] = [
    undefined,
    {},
    { key_space: 'a' },
    { key_space: `0${'-'.repeat(62)}`, access: 'readonly', expires_in: '720h' },
    { access: 'readwrite', expires_in: '10s' },
    { expires_in: '9999999m' },
    { expires_in: '99999d' },
  ];
  it('take what the schema of a binding allows', () => {
    for (const parameters of good) {
      assert.deepEqual(bind(parameters), [], JSON.stringify(parameters));
    }
  });

  const keySpace =
    'key_space must match ^[a-z0-9][a-z0-9-]{0,62}$ (lower-case letters, digits and "-", at most 63, not starting with "-")';
  const known = 'known are: key_space, access, expires_in, administration';
  const bad: [parameters: unknown, problems: (string | RegExp)[]][] = [
    [null, ['parameters must be an object']],
    [[], ['parameters must be an object']],
    ['readonly', ['parameters must be an object']],
    [{ access: 'admin' }, ['access must be one of "readwrite", "readonly"']],
    [{ access: null }, [/access must be a string/, /access must be one of/]],
    [{ key_space: '' }, [keySpace]],
    [{ key_space: 'A' }, [keySpace]],
    [{ key_space: 'a/b' }, [keySpace]],
    [{ key_space: 'a\n' }, [keySpace]],
    [{ key_space: 'a'.repeat(64) }, [keySpace]],
    [{ key_space: 'a'.repeat(2000) }, ['key_space must have at most 1024 characters']],
    [
      { expires_in: '0s' },
      [/^expires_in must match .* \(a whole number and s, m, h or d, such as "30m" or "720h"\)$/],
    ],
    [{ expires_in: 30 }, ['expires_in must be a string']],
    [{ expires_in: '100000d' }, [/^expires_in must match/]],
    [{ foo: 1 }, [`foo is not known; ${known}`]],
    [JSON.parse('{"__proto__": {"a": 1}}'), [`__proto__ is not known; ${known}`]],
    [{ 'a\nb': 1 }, [`"a\\nb" is not known; ${known}`]],
    [
      { foo: 1, access: 'x' },
      [`foo is not known; ${known}`, 'access must be one of "readwrite", "readonly"'],
    ],
  ];
  it('say of everything else what is wrong and what would be right', () => {
    for (const [parameters, problems] of bad) {
      const said = bind(parameters);
      assert.equal(said.length, problems.length, `${JSON.stringify(parameters)}: ${said.join('\n')}`);
      for (const [index, problem] of problems.entries()) {
        const text = said[index] ?? '';
        assert.ok(typeof problem === 'string' ? text === problem : problem.test(text), text);
      }
    }
  });

  it('take a whitelist for an instance, and a backup', () => {
    for (const validator of [create, update]) {
      assert.deepEqual(validator({}), []);
      assert.deepEqual(validator({ whitelist: [{ ip: '192.0.2.0/24', description: 'office' }] }), []);
    }
    assert.deepEqual(create({ units: 16 }), []);
    for (const units of [0, 65, 1.5, '2', null]) {
      assert.equal(create({ units }).length, 1, String(units));
    }
    assert.deepEqual(update({ auto_scaling: { max_units: 4 } }), []);
    assert.equal(update({ auto_scaling: { max_units: 0 } }).length, 1);
    const backup_id = '0123456789abcdef01234567';
    assert.deepEqual(create({ source_service_instance_id: 'i', backup_id }), []);
    assert.deepEqual(update({ restore: { backup_id: 'latest' } }), []);
    for (const bad of ['', 'x', backup_id.toUpperCase(), `${backup_id}0`, 'Latest']) {
      assert.equal(create({ source_service_instance_id: 'i', backup_id: bad }).length, 1, bad);
      assert.equal(update({ restore: { backup_id: bad } }).length, 1, bad);
    }
    assert.deepEqual(create({ size: 3 }), [
      'size is not known; known are: units, auto_scaling, source_service_instance_id, backup_id, whitelist',
    ]);
    assert.deepEqual(update({ size: 3 }), [
      'size is not known; known are: units, auto_scaling, restore, whitelist',
    ]);
  });

  it('list at most ten problems, and say how many there are', () => {
    const many = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`p${index}`, index]));
    const problems = bind(many);
    assert.equal(problems.length, 10);
    assert.equal(problems.at(-1), 'there are 50 problems in all');
  });

  it('never throw, and never repeat much of what they were given', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string({ minLength: 101, maxLength: 900 }), (value, long) => {
        for (const parameters of [
          value,
          { [long]: value },
          { access: long },
          { key_space: long, expires_in: long },
        ]) {
          for (const problem of bind(parameters)) {
            assert.ok(problem.length > 0 && !problem.includes(long), problem);
            assert.ok(problem.length < 1000, problem);
          }
        }
      }),
    );
  });

  it('are quick on a megabyte of hostile parameters', () => {
    const megabyte = 2 ** 20;
    let deep: unknown = 1;
    for (let level = 0; level < 5_000; level += 1) {
      deep = { a: deep };
    }
    const hostile: unknown[] = [
      { key_space: 'a'.repeat(megabyte) },
      { expires_in: '1'.repeat(megabyte) },
      { ['x'.repeat(megabyte)]: 1 },
      Object.fromEntries(Array.from({ length: megabyte / 10 }, (_, index) => [`p${index}`, 1])),
      { list: Array.from({ length: megabyte / 2 }, () => 1) },
      { deep },
    ];
    const startedAt = performance.now();
    for (const parameters of hostile) {
      assert.notDeepEqual(bind(parameters), []);
    }
    const elapsed = performance.now() - startedAt;
    assert.ok(elapsed < 1000, `${elapsed} ms for ${hostile.length} requests`);
  });
});

describe('compileParameters', () => {
  it('puts every keyword of draft 4 into plain words', () => {
    const $schema = 'http://json-schema.org/draft-04/schema#';
    const cases: [schema: object, parameters: unknown, problem: string][] = [
      [{ required: ['a'] }, {}, 'a is missing'],
      [{ properties: { a: { type: ['string', 'null'] } } }, { a: 1 }, 'a must be a string or null'],
      [{ properties: { a: { type: 'integer' } } }, { a: 1.5 }, 'a must be a whole number'],
      [{ properties: { a: { enum: ['x'] } } }, { a: 1 }, 'a must be "x"'],
      [{ properties: { a: { minimum: 3, exclusiveMinimum: true } } }, { a: 3 }, 'a must be more than 3'],
      [{ properties: { a: { maximum: 3 } } }, { a: 4 }, 'a must be at most 3'],
      [{ properties: { a: { multipleOf: 256 } } }, { a: 3 }, 'a must be a multiple of 256'],
      [{ properties: { a: { minLength: 1 } } }, { a: '' }, 'a must have at least 1 character'],
      [{ properties: { a: { minItems: 2 } } }, { a: [] }, 'a must have at least 2 entries'],
      [{ properties: { a: { uniqueItems: true } } }, { a: [1, 1] }, 'a must not have the same entry twice'],
      [{ properties: { a: { format: 'ipv4' } } }, { a: '1.2' }, 'a must be in the format "ipv4"'],
      [{ properties: { a: { not: {} } } }, { a: 1 }, 'a must NOT be valid'],
      [{ maxProperties: 1 }, { a: 1, b: 1 }, 'parameters must have at most 1 member'],
      [{ dependencies: { a: ['b'] } }, { a: 1 }, 'b is missing; a needs it'],
      [{ properties: { a: { items: { type: 'string' } } } }, { a: ['x', 1] }, 'a[1] must be a string'],
      [
        { properties: { 'a/b': { properties: { c: { type: 'string' } } } } },
        { 'a/b': { c: 1 } },
        '"a/b.c" must be a string',
      ],
    ];
    for (const [schema, parameters, problem] of cases) {
      assert.deepEqual(compileParameters({ $schema, type: 'object', ...schema })(parameters), [problem]);
    }
  });
});
