// npm run fuzz -- --minutes N [--seed S]: messages at random, whole and broken, against the properties of the rewriter.
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { encodedOf, strike } from './arbitrary.js';
import { checkRequest, checkResponse, rewritten } from './properties.js';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: `${Date.now() % 2 ** 31}` },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
if (!(minutes > 0) || !Number.isInteger(seed))
  throw new Error('--minutes is a number above 0, --seed a whole number');

/** A small generator of pseudo-random numbers (xorshift), so that a seed repeats a run. */
let state = seed | 1;
function random(below: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
}

const STRIKES = 200;
const deadline = performance.now() + minutes * 60_000;
const counts = { passed: 0, stopped: 0 };
console.log(`seed ${seed}, ${minutes} minutes`);

for (let round = 0; performance.now() < deadline; round++) {
  for (const call of rewritten)
    for (const side of ['request', 'response'] as const) {
      const check = side === 'request' ? checkRequest : checkResponse;
      const [sound = Buffer.alloc(0)] = fc.sample(encodedOf(call[side].name, side), {
        seed: seed + round,
        numRuns: 1,
      });
      let message = sound;
      for (let count = 0; count < STRIKES && performance.now() < deadline; count++) {
        try {
          counts[check(call, message) instanceof Error ? 'stopped' : 'passed']++;
        } catch (error) {
          console.error(`${call.path}, ${side}: ${message.toString('hex')}`);
          throw error;
        }
        // Mostly one blow to the sound message; now and then blows add up.
        message = strike(random(4) === 0 ? message : sound, random(100), random(5000), random(5000));
      }
    }
}
console.log(`${counts.passed} messages passed, ${counts.stopped} were stopped, every property held`);
