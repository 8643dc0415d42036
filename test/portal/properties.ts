// The properties that hold for any bytes, for the tests and for the fuzz command.
import assert from 'node:assert/strict';
import { Findings } from '../../src/portal/rewriter/findings.js';
import { Leak, Refusal } from '../../src/portal/rewriter/refusal.js';
import { MAX_GROWTH, rewriteRequest } from '../../src/portal/rewriter/requests.js';
import { stripResponse } from '../../src/portal/rewriter/responses.js';
import { type AllowedCall, callsByPath } from '../../src/portal/table/lookup.js';
import { Foreign, NEW_LEASE, prefix, prefixEnd, requestModel, responseModel, scope, TAG } from './model.js';
import { decode, type Plain } from './protobuf.js';

/** The calls whose messages are rewritten: all that are passed on, and LeaseLeases, whose answer the portal strips. */
export const rewritten: readonly AllowedCall[] = [...callsByPath.values()].filter(
  (call): call is AllowedCall =>
    call.handling !== 'denied' && (call.handling !== 'local' || call.name === 'LeaseLeases'),
);

export const found = new Findings();

/** Runs on a copy and within a larger buffer: both must say the same, or it looked beyond its message. */
function twice(message: Buffer, run: (message: Buffer) => Buffer): Buffer | Error {
  const attempt = (bytes: Buffer): Buffer | Error => {
    try {
      return run(bytes);
    } catch (error) {
      if (error instanceof Refusal || error instanceof Leak) return error;
      throw error;
    }
  };
  const alone = attempt(Buffer.from(message));
  for (const filler of [0x01, 0xff]) {
    const within = Buffer.alloc(message.length + 64, filler);
    message.copy(within, 32);
    const before = Buffer.from(within);
    assert.deepEqual(attempt(within.subarray(32, 32 + message.length)), alone);
    assert.deepEqual(within, before, 'the message is left as it was');
  }
  return alone;
}

/** @returns the rewritten request, or the refusal. @throws AssertionError when a property does not hold. */
export function checkRequest(call: AllowedCall, message: Buffer): Buffer | Error {
  const result = twice(message, (bytes) => rewriteRequest(call.request, bytes, scope, found, NEW_LEASE));
  if (result instanceof Error) {
    assert(result instanceof Refusal, 'a request is refused and nothing else');
    return result;
  }
  assert(result.length <= 2 * message.length + MAX_GROWTH + 1024, 'it grows within its bound');
  const inside = decode(call.request.name, result);
  onlyWithin(inside);
  const model = requestModel[call.request.name];
  assert(model, call.request.name);
  const expected = model(decode(call.request.name, message) as { [field: string]: Plain });
  assert.deepEqual(inside, expected);
  return result;
}

/** @returns the stripped response, or the leak. @throws AssertionError when a property does not hold. */
export function checkResponse(call: AllowedCall, message: Buffer): Buffer | Error {
  const name = call.response.name;
  const result = twice(message, (bytes) => stripResponse(call.response, bytes, scope));
  if (result instanceof Error) {
    assert(result instanceof Leak, 'a response leaks and nothing else');
    return result;
  }
  assert(result.length <= message.length, 'it does not grow');
  let expected: Plain;
  try {
    expected = responseModel(name, decode(name, message) as { [field: string]: Plain });
  } catch (error) {
    assert(!(error instanceof Foreign), 'what is foreign does not pass');
    throw error;
  }
  assert.deepEqual(decode(name, result), expected);
  return result;
}

/** Every key, range and lease at every depth is the key space's own. Names of fields say what they are. */
function onlyWithin(value: Plain): void {
  if (Array.isArray(value)) for (const one of value) onlyWithin(one);
  else if (typeof value === 'object' && value !== null)
    for (const [field, content] of Object.entries(value)) {
      if (field === 'key' || field === 'name')
        assert((content as string).startsWith(prefix), `${field} ${content}`);
      else if (field === 'range_end') {
        const end = content as string;
        assert(end === '' || end === prefixEnd || end.startsWith(prefix), `range_end ${end}`);
      } else if ((field === 'lease' && !('target' in value)) || field === 'ID') {
        const id = BigInt(content as string);
        assert(id === 0n || id >> 32n === BigInt(TAG), `lease ${id}`);
      } else onlyWithin(content);
    }
}
