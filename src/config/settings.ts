import { Secret } from '../credentials/secret.js';
import { ConfigError } from './error.js';

/** A control character (line breaks too) in a secret is nearly always an accident of copying. */
const CONTROL_CHARACTER = /\p{Cc}/u;

/** A variable's text without surrounding blanks; `undefined` when it is unset or blank. */
export function text(env: NodeJS.ProcessEnv, name: string): string | undefined {
  return env[name]?.trim() || undefined;
}

/**
 * A secret variable exactly as written; `undefined` when it is unset or empty.
 * @throws ConfigError when it holds a control character.
 */
export function secret(env: NodeJS.ProcessEnv, name: string): Secret | undefined {
  const value = env[name];
  if (!value) {
    return undefined;
  }
  if (CONTROL_CHARACTER.test(value)) {
    throw new ConfigError(`${name} contains a line break or another control character; remove it.`);
  }
  return new Secret(value);
}

/**
 * A whole number between `lowest` and `highest`.
 * @throws ConfigError when the variable says something else.
 */
export function wholeNumber(
  env: NodeJS.ProcessEnv,
  name: string,
  range: { lowest: number; highest: number; byDefault: number },
): number {
  const value = text(env, name);
  if (value === undefined) {
    return range.byDefault;
  }
  const number = /^[0-9]{1,9}$/.test(value) ? Number(value) : Number.NaN;
  if (!(number >= range.lowest && number <= range.highest)) {
    throw new ConfigError(
      `${name} is ${quote(value)}; set it to a whole number from ${range.lowest} to ${range.highest}.`,
    );
  }
  return number;
}

/**
 * One of a few words, in any case.
 * @throws ConfigError when the variable says something else.
 */
export function oneOf<Word extends string>(
  env: NodeJS.ProcessEnv,
  name: string,
  words: readonly Word[],
  byDefault: Word,
): Word {
  const value = text(env, name);
  if (value === undefined) {
    return byDefault;
  }
  const found = words.find((word) => word === value.toLowerCase());
  if (found === undefined) {
    throw new ConfigError(`${name} is ${quote(value)}; set it to one of ${words.join(', ')}.`);
  }
  return found;
}

/** `true` or `false`. */
export function flag(env: NodeJS.ProcessEnv, name: string): boolean {
  return oneOf(env, name, ['true', 'false'], 'false') === 'true';
}

/**
 * Checks that two settings which make sense only together are both there, or neither.
 * @throws ConfigError which names the missing one
 */
export function requireBoth(first: string, firstValue: unknown, second: string, secondValue: unknown): void {
  if ((firstValue === undefined) !== (secondValue === undefined)) {
    const [present, missing] = secondValue === undefined ? [first, second] : [second, first];
    throw new ConfigError(`${missing} is not set but ${present} is; set both or neither.`);
  }
}

/** A harmless value as it appears in a message: quoted, on one line, and short. */
export function quote(value: string): string {
  return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
}
