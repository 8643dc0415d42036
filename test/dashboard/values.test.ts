import assert from 'node:assert/strict';
import fc from 'fast-check';
import { hexDump, indentedJson, isText, oneLine, parseHex } from '../../src/dashboard/values.js';

describe('Values in the dashboard', () => {
  it('are one line of text, whatever they are', () => {
    assert.equal(oneLine(Buffer.from('grüße')), 'grüße');
    assert.equal(oneLine(Buffer.from('a\nb\0')), 'a\\x0ab\\x00');
    assert.equal(oneLine(Buffer.from([0x61, 0xff])), 'a\\xff');
    assert.equal(oneLine(Buffer.from('\u202e')), '\\xe2\\x80\\xae');
    assert.equal(oneLine(Buffer.from('abc'), 2), 'ab…');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50 }), (bytes) => {
        assert.match(oneLine(Buffer.from(bytes)), /^\P{C}*$/u);
      }),
    );
  });

  it('are text only where a form sends back the same bytes', () => {
    assert.ok(isText(Buffer.from('line\nline\tgrüße')));
    for (const bytes of [Buffer.from('a\r\n'), Buffer.from([0xff]), Buffer.from('\0')]) {
      assert.equal(isText(bytes), false);
    }
  });

  it('that are JSON get a line for each member, and keep each number as it is written', () => {
    const text = '{"a":[1,2.50,{"b":"x, {y}: \\"z\\""}],"big":12345678901234567890, "none":{ },"no":[]}';
    const shown = indentedJson(Buffer.from(text)) as string;
    assert.match(shown, /^ {2}"big": 12345678901234567890,$/m);
    assert.match(shown, /^ {4}2\.50,$/m);
    assert.match(shown, /"x, \{y\}: \\"z\\""/);
    assert.equal(indentedJson(Buffer.from('{"a":')), undefined);
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const expected = JSON.stringify(value, undefined, 2);
        assert.equal(indentedJson(Buffer.from(JSON.stringify(value))), expected);
      }),
    );
  });

  it('are dumped in lines of sixteen bytes, and read back', () => {
    const bytes = Buffer.from(Array.from({ length: 18 }, (_, index) => index + 0x3a));
    assert.equal(
      hexDump(bytes),
      '000000  3a 3b 3c 3d 3e 3f 40 41 42 43 44 45 46 47 48 49  :;<=>?@ABCDEFGHI\n000010  4a 4b                                            JK',
    );
    assert.deepEqual(parseHex('00 ff\n10'), Buffer.from([0, 255, 16]));
    for (const wrong of ['0', 'xy', '0x00']) {
      assert.equal(parseHex(wrong), undefined);
    }
  });
});
