import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ProxyHeaderParser, type ProxyResult } from '../../../src/portal/limits/proxy-protocol.js';

const SIGNATURE = '0d0a0d0a000d0a515549540a';

/** @param versionAndCommand two hex digits, like `family` */
function header(versionAndCommand: string, family: string, block: string, length = block.length / 2): Buffer {
  return Buffer.from(
    SIGNATURE + versionAndCommand + family + length.toString(16).padStart(4, '0') + block,
    'hex',
  );
}

const IPV4 = 'c0000207 0a000001 c001 094b'.replaceAll(' ', '');
const IPV6 = '20010db8000000000000000000000007 00000000000000000000000000000001 c001 094b'.replaceAll(
  ' ',
  '',
);
const TLV = '040003000000';

const parse = (bytes: Buffer) => new ProxyHeaderParser().push(bytes);

describe('The PROXY protocol', () => {
  const peers = {
    'TCP over IPv4': [header('21', '11', IPV4), { address: '192.0.2.7', port: 0xc001 }],
    'TCP over IPv6': [header('21', '21', IPV6), { address: '2001:db8::7', port: 0xc001 }],
    'TCP over IPv4 with a TLV': [header('21', '11', IPV4 + TLV), { address: '192.0.2.7', port: 0xc001 }],
    LOCAL: [header('20', '00', ''), undefined],
    'LOCAL with a block of an odd family': [header('20', 'ff', IPV4), undefined],
    UNSPEC: [header('21', '00', TLV), undefined],
    'UDP over IPv4': [header('21', '12', IPV4), undefined],
    UNIX: [header('21', '31', '00'.repeat(216)), undefined],
    'the longest header': [
      header('21', '11', IPV4 + '00'.repeat(536 - 12)),
      { address: '192.0.2.7', port: 0xc001 },
    ],
  } as const;

  for (const [what, [bytes, peer]] of Object.entries(peers)) {
    it(`tells the peer of ${what}`, () => {
      const result = parse(Buffer.concat([bytes, Buffer.from('hello')]));
      assert.deepEqual(result, { kind: 'header', peer, rest: Buffer.from('hello') });
    });
  }

  it('says the same however the bytes are cut', () => {
    const bytes = fc.constantFrom(...Object.values(peers).map(([each]) => each));
    fc.assert(
      fc.property(bytes, fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }), (whole, sizes) => {
        const all = Buffer.concat([whole, Buffer.from('rest')]);
        const parser = new ProxyHeaderParser();
        let result: ProxyResult = { kind: 'more' };
        let offset = 0;
        for (let index = 0; result.kind === 'more'; index += 1) {
          assert.ok(offset < whole.length, 'it waits for no more than the header');
          const size = sizes[index % sizes.length] as number;
          result = parser.push(all.subarray(offset, offset + size));
          offset += size;
        }
        assert.ok(result.kind === 'header' && offset >= whole.length);
        const expected = parse(all);
        assert.ok(expected.kind === 'header');
        assert.deepEqual(result.peer, expected.peer);
        assert.equal(
          Buffer.concat([result.rest, all.subarray(offset)]).toString('latin1'),
          expected.rest.toString('latin1'),
        );
      }),
    );
  });

  for (const [what, bytes, reason] of [
    ['version 1', Buffer.from('PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n'), /version 1 .*version 2/],
    ['TLS instead', Buffer.from('16030102000100', 'hex'), /no PROXY protocol header/],
    ['HTTP/2 instead', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), /no PROXY protocol header/],
    ['another version', header('31', '11', IPV4), /version 3/],
    ['an unknown command', header('22', '11', IPV4), /command 2/],
    ['an unknown family', header('21', '41', IPV4), /family/],
    ['an unknown transport', header('21', '13', IPV4), /family/],
    ['too short a block', header('21', '21', IPV4), /too few/],
    ['a block of 64 KB, before it comes', header('21', '11', '', 65_535), /65535 bytes/],
    ['a block of 537 bytes', header('21', '11', '', 537), /537 bytes/],
  ] as const) {
    it(`refuses ${what}`, () => {
      const result = parse(bytes);
      assert.equal(result.kind, 'refused');
      assert.match((result as { reason: string }).reason, reason);
    });
  }

  it('takes any bytes without throwing and holds at most one header', () => {
    const start = fc.constantFrom('', SIGNATURE, `${SIGNATURE}21`, `${SIGNATURE}2111`, '50524f5859');
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 700 }), (first, bytes) => {
        const all = Buffer.concat([Buffer.from(first, 'hex'), bytes]);
        assert.ok(parse(all).kind !== 'more' || all.length < 552);
      }),
    );
  });
});
