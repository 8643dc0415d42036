import AjvDraft04 from 'ajv-draft-04';
import formats from 'ajv-formats';
import { describeProblem, parameterName } from './problems.js';
import type { JsonObject, ParameterValidator } from './types.js';

/** Bounds that keep a check quick, whatever the schema and the request. They are far beyond any sensible request. */
const MOST_VALUES = 1_000;
const DEEPEST = 20;
const LONGEST_TEXT = 1_024;

/** How many problems one answer lists. */
const MOST_PROBLEMS = 10;

/** An ajv for draft 4 that finds every problem and tells enough of each for a good message. */
export function draft04(): InstanceType<typeof AjvDraft04.default> {
  // ajv only logs an unknown format, which would leave it unchecked; strict mode makes that an error.
  const ajv = new AjvDraft04.default({
    allErrors: true,
    verbose: true,
    strict: true,
    strictTypes: false,
    strictRequired: false,
    logger: false,
  });
  // These are annotations for people and user interfaces in draft 4's meta-schema, or conventions of it.
  ajv.addVocabulary(['example', 'examples']);
  formats.default(ajv, { mode: 'fast' });
  return ajv;
}

/**
 * Makes a validator from a published schema.
 * @throws Error of ajv when the schema can't be compiled
 */
export function compileParameters(schema: JsonObject): ParameterValidator {
  const validate = draft04().compile(schema);
  return (parameters) => {
    const value = parameters === undefined ? {} : parameters;
    const excess = findExcess(value);
    if (excess !== undefined) {
      return [excess];
    }
    if (validate(value)) {
      return [];
    }
    const problems = new Set((validate.errors ?? []).map((error) => describeProblem(error, parameterName)));
    return problems.size > MOST_PROBLEMS
      ? [...[...problems].slice(0, MOST_PROBLEMS - 1), `there are ${problems.size} problems in all`]
      : [...problems];
  };
}

/** Looks through a value from JSON no further than the bounds; tells which of them it exceeds. */
function findExcess(value: unknown): string | undefined {
  let values = 0;
  const open: { path: readonly string[]; value: unknown }[] = [{ path: [], value }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (typeof next.value === 'string' && next.value.length > LONGEST_TEXT) {
      return `${parameterName(next.path)} must have at most ${LONGEST_TEXT} characters`;
    }
    if (typeof next.value !== 'object' || next.value === null) {
      continue;
    }
    if (next.path.length >= DEEPEST) {
      return `parameters must not be nested more than ${DEEPEST} levels deep`;
    }
    const names = Object.keys(next.value);
    values += names.length;
    if (values > MOST_VALUES) {
      return `parameters must not have more than ${MOST_VALUES} values`;
    }
    for (const name of names) {
      open.push({ path: [...next.path, name], value: (next.value as JsonObject)[name] });
    }
  }
  return undefined;
}
