import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ConnectionError } from '../../src/http2/errors.js';
import { BlockCache, HeaderDecoder, WITHOUT_TABLE } from '../../src/http2/header-decoder.js';
import { encodeField, encodeInteger, encodeLiteral, type HeaderField } from '../../src/http2/hpack.js';
import { huffmanDecode, huffmanEncode } from '../../src/http2/huffman.js';

const decodeHeaderBlock = (block: Buffer) => new HeaderDecoder(WITHOUT_TABLE).decode(block);
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('HPACK', () => {
  // RFC 7541, appendix C: those that stand without entries of a dynamic table.
  const vectors: [section: string, block: string, fields: HeaderField[]][] = [
    [
      'C.2.1',
      '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572',
      [['custom-key', 'custom-header']],
    ],
    ['C.2.2', '040c 2f73 616d 706c 652f 7061 7468', [[':path', '/sample/path']]],
    ['C.2.3', '1008 7061 7373 776f 7264 0673 6563 7265 74', [['password', 'secret']]],
    ['C.2.4', '82', [[':method', 'GET']]],
    [
      'C.3.1',
      '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      [
        [':method', 'GET'],
        [':scheme', 'http'],
        [':path', '/'],
        [':authority', 'www.example.com'],
      ],
    ],
    [
      'C.4.1',
      '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
      [
        [':method', 'GET'],
        [':scheme', 'http'],
        [':path', '/'],
        [':authority', 'www.example.com'],
      ],
    ],
    [
      'C.6.1',
      '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
      [
        [':status', '302'],
        ['cache-control', 'private'],
        ['date', 'Mon, 21 Oct 2013 20:13:21 GMT'],
        ['location', 'https://www.example.com'],
      ],
    ],
  ];
  for (const [section, block, fields] of vectors) {
    it(`reads the example of RFC 7541, ${section}`, () => {
      assert.deepEqual(decodeHeaderBlock(hex(block)), fields);
    });
  }

  it('writes integers as in C.1', () => {
    assert.equal(encodeInteger(10, 5, 0).toString('hex'), '0a');
    assert.equal(encodeInteger(1337, 5, 0).toString('hex'), '1f9a0a');
    assert.equal(encodeInteger(42, 8, 0).toString('hex'), '2a');
  });

  it('writes Huffman codes as in C.4 and C.6', () => {
    assert.equal(huffmanEncode('www.example.com').toString('hex'), 'f1e3c2e5f23a6ba0ab90f4ff');
    assert.equal(huffmanEncode('no-cache').toString('hex'), 'a8eb10649cbf');
    assert.equal(huffmanEncode('307').toString('hex'), '640eff');
  });

  it('reads back every byte in Huffman code', () => {
    const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString('latin1');
    assert.equal(huffmanDecode(huffmanEncode(every)), every);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const text = Buffer.from(bytes).toString('latin1');
        assert.equal(huffmanDecode(huffmanEncode(text)), text);
      }),
    );
  });

  it('reads back what it writes', () => {
    const text = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString('latin1'));
    fc.assert(
      fc.property(text, text, fc.boolean(), (name, value, secret) => {
        assert.deepEqual(decodeHeaderBlock(encodeLiteral(name, value, secret)), [[name, value]]);
        assert.deepEqual(decodeHeaderBlock(encodeField(name, value)), [[name, value]]);
      }),
    );
    assert.equal(encodeField(':method', 'POST').toString('hex'), '83');
  });

  it('takes a table size update to 0 at the start', () => {
    assert.deepEqual(decodeHeaderBlock(hex('2088')), [[':status', '200']]);
  });

  const wrong: [what: string, block: string][] = [
    ['an entry of the dynamic table', 'be'],
    ['index 0', '80'],
    ['a name of the dynamic table', '7f 00 01 61'],
    ['a table size update above 0', '3f e1 1f'],
    ['a table size update after a field', '88 20'],
    ['a string that is cut off', '00 05 61'],
    ['a block that ends in a name', '00'],
    ['an integer without end', '7f ff ff ff ff ff ff 01'],
    ['Huffman padding of zeros', '00 01 61 81 00'],
    ['Huffman padding of a whole byte', '00 01 61 82 1f ff'],
    ['the end of a string in Huffman code', '00 01 61 84 ff ff ff ff'],
  ];
  for (const [what, block] of wrong) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => decodeHeaderBlock(hex(block)),
        (error) => error instanceof ConnectionError && error.code === 0x9,
      );
    });
  }

  it('refuses a block of very many fields', () => {
    assert.throws(() => decodeHeaderBlock(Buffer.alloc(1_000, 0x88)), /too many header fields/);
  });

  it('fails on random bytes with a typed error, or reads them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decodeHeaderBlock(Buffer.from(bytes));
        } catch (error) {
          assert.ok(error instanceof ConnectionError, `${error}`);
        }
      }),
    );
  });

  it('interprets a block that repeats once', () => {
    let interpreted = 0;
    const cache = new BlockCache(WITHOUT_TABLE, (fields) => {
      interpreted++;
      return fields[0]?.[1];
    });
    const block = encodeField('grpc-status', '0');
    assert.equal(cache.get(block), '0');
    assert.equal(cache.get(Buffer.from(block)), '0');
    assert.equal(interpreted, 1);
    for (let number = 0; number < 1_000; number++) {
      assert.equal(cache.get(encodeField('grpc-status', `${number}`)), `${number}`);
    }
  });

  describe('with a dynamic table', () => {
    const options = { tableBytes: 4_096, maxFields: 100, maxListBytes: 16_384 };
    const head: HeaderField[] = [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':path', '/'],
      [':authority', 'www.example.com'],
    ];

    // RFC 7541, appendix C.3 and C.4: three requests on one connection, as literals and in Huffman code.
    const requests = [
      ['8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d', '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff'],
      ['8286 84be 5808 6e6f 2d63 6163 6865', '8286 84be 5886 a8eb 1064 9cbf'],
      [
        '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
        '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
      ],
    ] as const;
    const expected: HeaderField[][] = [
      head,
      [...head, ['cache-control', 'no-cache']],
      [
        [':method', 'GET'],
        [':scheme', 'https'],
        [':path', '/index.html'],
        [':authority', 'www.example.com'],
        ['custom-key', 'custom-value'],
      ],
    ];
    for (const [column, section] of ['C.3', 'C.4'].entries()) {
      it(`reads the requests of RFC 7541, ${section}`, () => {
        const decoder = new HeaderDecoder(options);
        const decoded = requests.map((blocks) => decoder.decode(hex(blocks[column] as string)));
        assert.deepEqual(decoded, expected);
      });
    }

    it('evicts the oldest entries, as in C.5', () => {
      const decoder = new HeaderDecoder({ ...options, tableBytes: 256 });
      decoder.decode(
        hex(
          '4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
        ),
      );
      assert.deepEqual(decoder.decode(hex('4803 3330 37c1 c0bf'))[0], [':status', '307']);
      assert.throws(() => decoder.decode(hex('c2')), /no entry 66/);
      assert.deepEqual(decoder.decode(hex('be')), [[':status', '307']]);
    });

    it('empties the table for a size of 0 and for an entry that is larger', () => {
      const decoder = new HeaderDecoder({ ...options, tableBytes: 64 });
      decoder.decode(hex('4001 6101 62'));
      assert.deepEqual(decoder.decode(hex('be')), [['a', 'b']]);
      decoder.decode(Buffer.concat([hex('4001 6140'), Buffer.alloc(64, 98)]));
      assert.throws(() => decoder.decode(hex('be')), /no entry/);
      decoder.decode(hex('4001 6101 62'));
      assert.deepEqual(decoder.decode(hex('20 82')), [[':method', 'GET']]);
      assert.throws(() => decoder.decode(hex('be')), /no entry/);
      assert.throws(() => decoder.decode(hex('3f 22')), /size update/);
    });

    it('never takes a meaning from the cache that the table has changed', () => {
      const cache = new BlockCache(options, (fields) => JSON.stringify(fields));
      cache.get(hex('4001 6101 62'));
      assert.equal(cache.get(hex('be')), '[["a","b"]]');
      assert.equal(cache.get(hex('be')), '[["a","b"]]');
      cache.get(hex('4001 6101 63'));
      assert.equal(cache.get(hex('be')), '[["a","c"]]');
      cache.get(hex('4001 6101 63'));
      cache.get(hex('4001 6101 63'));
      assert.equal(cache.get(hex('c1')), '[["a","b"]]', 'each of the same blocks was an insertion');
    });
  });

  it('forgets what blocks mean when the table changes', () => {
    const cache = new BlockCache({ ...WITHOUT_TABLE, tableBytes: 4_096 }, (fields) => fields[0]?.[1]);
    const newest = hex('be');
    for (const value of ['1', '2', '3']) {
      assert.equal(cache.get(hex(`4001 61 01 ${Buffer.from(value).toString('hex')}`)), value);
      for (let time = 0; time < 4; time++) {
        assert.equal(cache.get(Buffer.from(newest)), value);
      }
    }
  });

  it('keeps apart blocks of one length that come in turns', () => {
    const cache = new BlockCache(WITHOUT_TABLE, (fields) => fields[0]?.[1]);
    for (let number = 0; number < 60; number++) {
      const value = `${number % 6}`;
      assert.equal(cache.get(encodeField('grpc-status', value)), value);
    }
  });
});
