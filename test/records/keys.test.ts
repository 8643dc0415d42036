import assert from 'node:assert/strict';
import fc from 'fast-check';
import { prefixEnd } from '../../src/etcd/ranges.js';
import { encodeId, keys } from '../../src/records/keys.js';

const id = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: fc.constantFrom('a', 'A', '/', '%', '2', 'F', 'f', '.', '-', '_', '\u0000', 'é', '🔑') }),
);

describe('Keys of records', () => {
  it('two different ids never have one name', () => {
    fc.assert(
      fc.property(id, id, (one, other) => {
        assert.equal(encodeId(one) === encodeId(other), one === other);
      }),
      {
        numRuns: 2_000,
        examples: [
          ['a/b', 'a%2Fb'],
          ['%2F', '/'],
          ['é', 'e\u0301'],
          ['a', 'A'],
        ],
      },
    );
  });

  it('a name can be read back, and holds nothing but letters, digits, "_", "-" and "%"', () => {
    fc.assert(
      fc.property(id, (text) => {
        const encoded = encodeId(text);
        assert.match(encoded, /^[A-Za-z0-9_%-]*$/);
        assert.equal(decodeURIComponent(encoded), text);
      }),
    );
  });

  it('the ids of the platforms stay as they are', () => {
    const guid = '9f2d8e1c-7d5e-4a58-a4a7-5f0c1f6b7a01';
    assert.equal(encodeId(guid), guid);
  });

  it('two pairs of ids never have one key, and no range covers what is another instance’s', () => {
    fc.assert(
      fc.property(id, id, id, id, (instance, binding, otherInstance, otherBinding) => {
        const same = instance === otherInstance && binding === otherBinding;
        assert.equal(keys.binding(instance, binding) === keys.binding(otherInstance, otherBinding), same);
        const isCovered = covers(keys.bindingsOf(instance), keys.binding(otherInstance, otherBinding));
        assert.equal(isCovered, instance === otherInstance);
        const operation = keys.operation(otherInstance, otherBinding, 'bind-1');
        const isIn = covers(keys.operationsOf(instance, binding), operation);
        assert.equal(isIn, same);
        assert.equal(covers(keys.operationsOf(instance), operation), false);
      }),
      {
        examples: [
          ['a', 'b', 'ab', ''],
          ['binding', 'x', 'instance', 'x'],
          ['', '', '', 'a'],
        ],
      },
    );
  });

  it('the end of a prefix comes right after everything that begins with it', () => {
    assert.equal(prefixEnd('/a/').toString(), '/a0');
    assert.deepEqual(prefixEnd('a\u007f'), Buffer.from([0x61, 0x80]));
    assert.deepEqual(prefixEnd(''), Buffer.from([0]), 'etcd reads this as no end at all');
  });
});

function covers(prefix: string, key: string): boolean {
  const bytes = Buffer.from(key);
  return Buffer.compare(Buffer.from(prefix), bytes) <= 0 && Buffer.compare(bytes, prefixEnd(prefix)) < 0;
}
