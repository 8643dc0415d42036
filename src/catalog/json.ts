import { type Node, type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser';

/** A mistake in a JSON text. */
export interface JsonMistake {
  /** Index of the first character that can't be right, in UTF-16 code units. */
  offset: number;
  message: string;
}

/**
 * Finds the first mistake in a JSON text, or a member that an object has twice, which `JSON.parse` lets pass.
 * @returns `undefined` when there is none
 */
export function findJsonMistake(text: string): JsonMistake | undefined {
  const errors: ParseError[] = [];
  const root = parseTree(text, errors, { disallowComments: true });
  const [first] = errors;
  if (first !== undefined) {
    // Such as "CommaExpected".
    const words = printParseErrorCode(first.error)
      .replace(/(?<=[a-z])(?=[A-Z])/g, ' ')
      .toLowerCase();
    return { offset: first.offset, message: words };
  }
  return root && findRepetition(root);
}

/** The line and column, both from 1, of an offset in a text. */
export function lineAndColumn(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset);
  return { line: before.split('\n').length, column: offset - before.lastIndexOf('\n') };
}

function findRepetition({ type, children = [] }: Node): JsonMistake | undefined {
  const names = new Set<string>();
  for (const child of children) {
    const name = child.children?.[0];
    if (type === 'object' && name !== undefined) {
      if (names.has(name.value)) {
        const shown = JSON.stringify(String(name.value).slice(0, 60));
        return { offset: name.offset, message: `the member ${shown} is there twice` };
      }
      names.add(name.value);
    }
    const found = findRepetition(child);
    if (found !== undefined) {
      return found;
    }
  }
  return undefined;
}
