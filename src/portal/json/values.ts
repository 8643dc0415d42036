/** JSON that can't be read, or that is not the message which it should be. The text is for the client. */
export class JsonError extends Error {
  override readonly name = 'JsonError';
}

/** etcd takes 10,000. Transactions within transactions need four levels each, and no call needs many of them. */
const MAX_DEPTH = 512;
/** Integers from so many characters on may not fit into a number of JavaScript's. */
const EXACT_CHARACTERS = 16;
/** Stands before the digits of a long integer, which is handed on as text. No base64 begins with it, and no name. */
export const LONG_INTEGER = '\0';

const INTEGER = /^-?\d+$/;

/**
 * The values of a text that holds one after the other, as the body of a stream does. Long integers come as text that
 * begins with {@link LONG_INTEGER}, so that none loses digits. Of two members of the same name the last one counts.
 * @throws JsonError
 */
export function* jsonValues(text: string): Generator<unknown> {
  let at = afterSpace(text, 0);
  while (at < text.length) {
    const { end, json } = oneValue(text, at);
    yield parse(json);
    at = afterSpace(text, end);
  }
}

/** Finds where the value ends that begins here. It looks at brackets and quotes only: what is between is for the parser. */
function oneValue(text: string, start: number): { end: number; json: string } {
  const parts: string[] = [];
  let copied = start;
  let depth = 0;
  let at = start;
  do {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(text, at);
    } else if (code === BRACE || code === BRACKET) {
      depth += 1;
      at += 1;
      if (depth > MAX_DEPTH) {
        throw new JsonError('exceeded max depth');
      }
    } else if (code === BRACE_END || code === BRACKET_END) {
      depth -= 1;
      at += 1;
    } else if (isWord(code)) {
      const end = endOfWord(text, at);
      if (end - at >= EXACT_CHARACTERS && INTEGER.test(text.slice(at, end))) {
        parts.push(text.slice(copied, at), JSON.stringify(LONG_INTEGER + text.slice(at, end)));
        copied = end;
      }
      at = end;
    } else {
      at += 1; // a space, a comma, a colon, or what the parser will refuse
    }
  } while (depth > 0 && at < text.length);
  parts.push(text.slice(copied, at));
  return { end: at, json: parts.length === 1 ? (parts[0] as string) : parts.join('') };
}

const QUOTE = 0x22;
const [BRACKET, BRACKET_END, BRACE, BRACE_END] = [0x5b, 0x5d, 0x7b, 0x7d];

/** Of a number or of a literal. */
function isWord(code: number): boolean {
  return (
    (code >= 0x30 && code <= 0x39) || // 0-9
    code === 0x2d || // -
    code === 0x2b || // +
    code === 0x2e || // .
    (code >= 0x41 && code <= 0x5a) || // A-Z
    (code >= 0x61 && code <= 0x7a) // a-z
  );
}

function endOfWord(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && isWord(text.charCodeAt(at))) {
    at += 1;
  }
  return at;
}

function afterSpace(text: string, start: number): number {
  let at = start;
  while (at < text.length && ' \t\r\n'.includes(text[at] as string)) {
    at += 1;
  }
  return at;
}

function endOfString(text: string, start: number): number {
  let at = start;
  for (;;) {
    at = text.indexOf('"', at + 1);
    if (at < 0) {
      return text.length;
    }
    let escapes = 0;
    while (text[at - 1 - escapes] === '\\') {
      escapes += 1;
    }
    if (escapes % 2 === 0) {
      return at + 1;
    }
  }
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    // The engine's text quotes the request.
    throw new JsonError('the body is not valid JSON', { cause: error });
  }
}
