import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Leak } from '../../../src/portal/rewriter/refusal.js';
import { stripResponse } from '../../../src/portal/rewriter/responses.js';
import { encodedOf, messageOf, struckOf } from '../arbitrary.js';
import { prefix, scope } from '../model.js';
import { checkRequest, checkResponse, rewritten } from '../properties.js';
import { encode, type Fields, type Value } from '../protobuf.js';

const RUNS = { numRuns: 100, interruptAfterTimeLimit: 20_000 };

/** Puts a key at random outside the prefix. @returns undefined where the message holds no key. */
function betray(value: Fields, choice: number, foreign: Uint8Array): Fields | undefined {
  let keys = 0;
  const visit = (one: Value, change: number): Value => {
    if (Array.isArray(one)) return one.map((each) => visit(each, change));
    if (typeof one !== 'object' || one instanceof Uint8Array) return one;
    return Object.fromEntries(
      Object.entries(one).map(([field, content]) => {
        const isKey = field === 'key' || (field === 'keys' && Array.isArray(content) && content.length > 0);
        if (!isKey) return [field, visit(content, change)];
        return [
          field,
          keys++ === change ? (Array.isArray(content) ? [foreign, ...content] : foreign) : content,
        ];
      }),
    );
  };
  visit(value, -1);
  if (keys === 0) return undefined;
  const target = choice % keys;
  keys = 0;
  return visit(value, target) as Fields;
}

const almost = fc
  .oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc
      .constantFrom(
        '',
        prefix,
        prefix.slice(0, -1),
        `${prefix.slice(0, -1)}0`,
        `/${prefix}a`,
        '/d/',
        '/_broker/v1/x',
      )
      .map((text) => Buffer.from(text)),
    fc.tuple(fc.nat(prefix.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, change]) => {
      const key = Buffer.from(`${prefix}secret`);
      key[at] = (key[at] as number) ^ change;
      return key;
    }),
  )
  .filter((key) => !Buffer.from(key).toString('latin1').startsWith(prefix) || key.length === prefix.length);

describe('properties of the rewriter', () => {
  for (const call of rewritten) {
    const { request, response } = call;

    describe(call.path, () => {
      it('rewrites each sound request as protobufjs reads it', () => {
        fc.assert(
          fc.property(encodedOf(request.name, 'request'), (message) => {
            const result = checkRequest(call, message);
            if (result instanceof Error) throw result;
          }),
          RUNS,
        );
      });

      it('refuses a broken request or confines it', () => {
        fc.assert(
          fc.property(struckOf(request.name, 'request'), (message) => void checkRequest(call, message)),
          RUNS,
        );
      });

      it('refuses any bytes as a request or confines them', () => {
        fc.assert(
          fc.property(
            fc.uint8Array({ maxLength: 60 }),
            (bytes) => void checkRequest(call, Buffer.from(bytes)),
          ),
          RUNS,
        );
      });

      it('strips each sound response as protobufjs reads it', () => {
        fc.assert(
          fc.property(encodedOf(response.name, 'response'), (message) => {
            const result = checkResponse(call, message);
            if (result instanceof Error) throw result;
          }),
          RUNS,
        );
      });

      it('lets nothing foreign out of a broken response', () => {
        fc.assert(
          fc.property(struckOf(response.name, 'response'), (message) => void checkResponse(call, message)),
          RUNS,
        );
      });

      it('ends at each key outside the prefix', () => {
        let betrayed = 0;
        fc.assert(
          fc.property(messageOf(response.name, 'response'), fc.nat(), almost, (fields, choice, foreign) => {
            const message = betray(fields, choice, foreign);
            if (message === undefined) return;
            betrayed++;
            assert.throws(() => stripResponse(response, encode(response.name, message), scope), Leak);
          }),
          RUNS,
        );
        const hasKeys = !/^(Put|Lease(Grant|Revoke|KeepAlive|Leases)|Unlock|Resign|Proclaim)Response$/.test(
          response.name,
        );
        if (hasKeys) assert(betrayed > 20, `${betrayed} had a key`);
      });
    });
  }
});
