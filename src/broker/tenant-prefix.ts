/**
 * Where tenants' keys are. Every prefix ends with `/`, so that `…/a/` never covers `…/ab/`; ids of deployments are
 * hexadecimal and names of key spaces are checked (see `bind-parameters.ts`), so neither holds a `/` of its own.
 */
export const DEPLOYMENTS = '/d/';

const DIGITS = '0123456789abcdef';
const ID_LENGTH = 24;
/** One that was asked for, or a binding's own. */
export const KEY_SPACE = /^([a-z0-9][a-z0-9-]{0,62}|_[0-9a-f]{16})$/;

/** The prefix of all keys of a deployment. */
export function deploymentPrefix(deploymentId: string): string {
  return `${DEPLOYMENTS}${deploymentId}/`;
}

/** The prefix of one key space of a deployment. */
export function keySpacePrefix(deploymentId: string, keySpace: string): string {
  return `${deploymentPrefix(deploymentId)}${keySpace}/`;
}

/** The first key after all that begin with a prefix, which ends with `/`. */
export function afterPrefix(prefix: string): string {
  return `${prefix.slice(0, -1)}0`;
}

/** What a key is to the broker. */
export interface JudgedKey {
  /** The prefix of its key space, if it is exactly of the form `/d/<24 hex>/<key space>/…`; else it is not ours. */
  keySpace?: string;
  /** No key of another key space comes before this one. */
  next: string;
}

/**
 * Judges a key below {@link DEPLOYMENTS}, and says where to look on.
 * @param key its bytes, each as one character (latin1)
 */
export function judgeKey(key: string): JudgedKey {
  const below = key.slice(DEPLOYMENTS.length);
  const id = /^[0-9a-f]*/.exec(below)?.[0].slice(0, ID_LENGTH) ?? '';
  const after = below[id.length];
  if (id.length < ID_LENGTH || after !== '/') {
    const next = nextId(id, after);
    return { next: next === undefined ? afterPrefix(DEPLOYMENTS) : `${DEPLOYMENTS}${next}` };
  }
  const rest = below.slice(ID_LENGTH + 1);
  const slash = rest.indexOf('/');
  if (slash < 0) {
    return { next: `${key}-` }; // "-" is the least that a name of a key space goes on with
  }
  const prefix = keySpacePrefix(id, rest.slice(0, slash));
  const next = afterPrefix(prefix);
  return KEY_SPACE.test(rest.slice(0, slash)) ? { keySpace: prefix, next } : { next };
}

/**
 * The least beginning of an id, or an id with its `/`, that comes after all keys which begin as this one does and then
 * differ from the form; undefined when there is none.
 * @param id the digits that a key begins with, at most 24
 * @param after the character that follows them; undefined at the key's end
 */
function nextId(id: string, after: string | undefined): string | undefined {
  if (id.length === ID_LENGTH) {
    return after === undefined || after < '/' ? `${id}/` : increment(id);
  }
  const digit = after === undefined ? '0' : [...DIGITS].find((candidate) => candidate > after);
  return digit === undefined ? increment(id) : `${id}${digit}`;
}

/** The next text of digits that does not begin with these; undefined when there is none. */
function increment(id: string): string | undefined {
  const digits = id.replace(/f+$/, '');
  if (digits === '') {
    return undefined;
  }
  const last = DIGITS[DIGITS.indexOf(digits.at(-1) as string) + 1];
  return `${digits.slice(0, -1)}${last}`;
}
