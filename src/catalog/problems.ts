import type { ErrorObject } from 'ajv';

/** The longest piece of somebody's input, in characters, that a message repeats. */
const LONGEST_ECHO = 100;

/** How a message calls the place of an error: a list of member names and indexes. */
export type NamePlace = (path: readonly string[]) => string;

/**
 * Puts an error of ajv into plain language: which member is bad, and what would be good.
 *
 * @param error as ajv gives it with `verbose: true`
 * @param namePlace how to call the place; {@link parameterName} for parameters
 */
export function describeProblem(error: ErrorObject, namePlace: NamePlace): string {
  const path = error.instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  const place = namePlace(path);
  const params = error.params as Readonly<Record<string, unknown>>;
  switch (error.keyword) {
    case 'additionalProperties':
      return unknownMember(namePlace([...path, String(params.additionalProperty)]), error);
    case 'required':
      return `${namePlace([...path, String(params.missingProperty)])} is missing`;
    case 'dependencies':
      return `${namePlace([...path, String(params.missingProperty)])} is missing; ${namePlace([...path, String(params.property)])} needs it`;
    case 'enum':
      return `${place} must be ${oneOf(params.allowedValues)}`;
    case 'type':
      return `${place} must be ${typeNames(params.type)}`;
    case 'pattern':
      return `${place} must match ${String(params.pattern)}${hint(error)}`;
    case 'format':
      return `${place} must be in the format "${String(params.format)}"${hint(error)}`;
    case 'minLength':
      return `${place} must have at least ${count(params.limit, 'character')}`;
    case 'maxLength':
      return `${place} must have at most ${count(params.limit, 'character')}`;
    case 'minItems':
      return `${place} must have at least ${count(params.limit, 'entry', 'entries')}`;
    case 'maxItems':
      return `${place} must have at most ${count(params.limit, 'entry', 'entries')}`;
    case 'minProperties':
      return `${place} must have at least ${count(params.limit, 'member')}`;
    case 'maxProperties':
      return `${place} must have at most ${count(params.limit, 'member')}`;
    case 'minimum':
    case 'maximum':
      return `${place} must be ${comparison(String(params.comparison))} ${String(params.limit)}`;
    case 'multipleOf':
      return `${place} must be a multiple of ${String(params.multipleOf)}`;
    case 'uniqueItems':
      return `${place} must not have the same entry twice`;
    default:
      return `${place} ${error.message ?? 'is not allowed'}`;
  }
}

/** `access`, `limits.memory`, `list[0]`; `parameters` for the whole. Long or strange names are cut and quoted. */
export function parameterName(path: readonly string[]): string {
  if (path.length === 0) {
    return 'parameters';
  }
  const name = path.reduce((whole, part) => {
    if (/^[0-9]{1,9}$/.test(part) && whole !== '') {
      return `${whole}[${part}]`;
    }
    return whole === '' ? part : `${whole}.${part}`;
  }, '');
  return /^[\w.[\]-]{1,100}$/.test(name) ? name : JSON.stringify(shorten(name));
}

/** A text cut to what a message may repeat, without halves of surrogate pairs. */
export function shorten(text: string): string {
  const cut = text.length > LONGEST_ECHO ? `${text.slice(0, LONGEST_ECHO)}…` : text;
  return cut.replace(/\p{Surrogate}/gu, '\ufffd');
}

function unknownMember(place: string, error: ErrorObject): string {
  const known = Object.keys((error.parentSchema?.properties ?? {}) as object);
  return `${place} is not known; ${known.length === 0 ? 'none is allowed here' : `known are: ${known.join(', ')}`}`;
}

function oneOf(values: unknown): string {
  const choices = (Array.isArray(values) ? values : [values]).map((value) => JSON.stringify(value));
  return choices.length === 1 ? choices.join('') : `one of ${choices.join(', ')}`;
}

/** The first sentence of the schema's own description: whoever wrote the pattern can say best what it means. */
function hint(error: ErrorObject): string {
  const description: unknown = error.parentSchema?.description;
  const sentence = typeof description === 'string' ? description.split(/\.(?:\s|$)/, 1)[0] : '';
  return sentence ? ` (${sentence.charAt(0).toLowerCase()}${sentence.slice(1)})` : '';
}

function typeNames(types: unknown): string {
  const articles: Readonly<Record<string, string>> = {
    array: 'an array',
    boolean: 'true or false',
    integer: 'a whole number',
    null: 'null',
    number: 'a number',
    object: 'an object',
    string: 'a string',
  };
  // ajv gives a list of types as text when there is more than one
  const names = Array.isArray(types) ? types.map(String) : String(types).split(',');
  return names.map((name) => articles[name] ?? name).join(' or ');
}

function comparison(sign: string): string {
  const words: Readonly<Record<string, string>> = {
    '>=': 'at least',
    '<=': 'at most',
    '>': 'more than',
    '<': 'less than',
  };
  return words[sign] ?? sign;
}

function count(limit: unknown, one: string, many = `${one}s`): string {
  return `${String(limit)} ${limit === 1 ? one : many}`;
}
