/** A mistake in a JSON text. */
export interface JsonMistake {
  /** Index of the first character that can't be right, in UTF-16 code units. */
  offset: number;
  /** What is wrong, or what would be right there. */
  message: string;
}

/** Deeper than any catalog, and well within the stack. */
const DEEPEST = 100;

const BLANKS = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const WORD = /true|false|null/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 8259, section 7, forbids them in a string
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;

/**
 * Finds the first mistake in a JSON text (RFC 8259), and a member that an object has twice, which `JSON.parse` lets
 * pass. It exists because the messages of `JSON.parse` do not always say where the mistake is.
 * @returns `undefined` when there is none
 */
export function findJsonMistake(text: string): JsonMistake | undefined {
  const scanner = new Scanner(text);
  try {
    scanner.document();
    return undefined;
  } catch (error) {
    if (error instanceof Mistake) {
      return { offset: error.offset, message: error.message };
    }
    throw error;
  }
}

/** The line and column, both from 1, of an offset in a text. */
export function lineAndColumn(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset);
  return { line: before.split('\n').length, column: offset - before.lastIndexOf('\n') };
}

class Mistake extends Error {
  constructor(
    readonly offset: number,
    message: string,
  ) {
    super(message);
  }
}

class Scanner {
  #offset = 0;

  constructor(readonly text: string) {}

  document(): void {
    this.#value(0);
    if (this.#offset < this.text.length) {
      throw new Mistake(this.#offset, 'nothing may follow the end of the document');
    }
  }

  #value(depth: number): void {
    if (depth > DEEPEST) {
      throw new Mistake(this.#offset, `it is nested more than ${DEEPEST} levels deep`);
    }
    this.#take(BLANKS);
    if (this.#skip('{')) {
      this.#object(depth);
    } else if (this.#skip('[')) {
      this.#array(depth);
    } else if (this.text[this.#offset] === '"') {
      this.#string();
    } else if (this.#take(NUMBER) === undefined && this.#take(WORD) === undefined) {
      throw new Mistake(this.#offset, 'a value should stand here');
    }
    this.#take(BLANKS);
  }

  #object(depth: number): void {
    const names = new Set<string>();
    this.#take(BLANKS);
    if (this.#skip('}')) {
      return;
    }
    do {
      this.#take(BLANKS);
      const start = this.#offset;
      const name = this.#string();
      if (names.has(name)) {
        throw new Mistake(start, `the member ${JSON.stringify(name.slice(0, 60))} is there twice`);
      }
      names.add(name);
      this.#take(BLANKS);
      this.#expect(':');
      this.#value(depth + 1);
    } while (this.#skip(','));
    this.#expect('}', ',');
  }

  #array(depth: number): void {
    this.#take(BLANKS);
    if (this.#skip(']')) {
      return;
    }
    do {
      this.#value(depth + 1);
    } while (this.#skip(','));
    this.#expect(']', ',');
  }

  #string(): string {
    const start = this.#offset;
    const literal = this.#take(STRING);
    if (literal === undefined) {
      const problem =
        this.text[start] === '"' ? 'this string is not well-formed' : 'a string in " should stand here';
      throw new Mistake(start, problem);
    }
    return JSON.parse(literal) as string;
  }

  #expect(wanted: string, ...others: string[]): void {
    if (!this.#skip(wanted)) {
      const choice = [wanted, ...others].map((character) => `"${character}"`).join(' or ');
      throw new Mistake(this.#offset, `${choice} should stand here`);
    }
  }

  #skip(character: string): boolean {
    if (this.text[this.#offset] !== character) {
      return false;
    }
    this.#offset += 1;
    return true;
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#offset;
    const found = pattern.exec(this.text)?.[0];
    this.#offset += found?.length ?? 0;
    return found;
  }
}
