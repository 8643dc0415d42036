import { isUtf8 } from 'node:buffer';

/** How a value is shown. */
export type Form = 'text' | 'json' | 'hex';

const BYTES_A_LINE = 16;

/** Bytes as one line of text: what is not UTF-8, and control characters, as `\x` and two hex digits. */
export function oneLine(bytes: Buffer, most = Number.POSITIVE_INFINITY): string {
  const cut = bytes.length > most ? bytes.subarray(0, most) : bytes;
  const text = isUtf8(cut) ? cut.toString('utf8') : latinText(cut);
  const shown = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, escaped);
  return cut.length < bytes.length ? `${shown}…` : shown;
}

/** Bytes that are no UTF-8, each one above ASCII escaped. */
function latinText(bytes: Buffer): string {
  return bytes
    .toString('latin1')
    .replace(/[\x80-\xff]/g, (character) => `\\x${character.charCodeAt(0).toString(16)}`);
}

function escaped(character: string): string {
  return [...Buffer.from(character, 'utf8')]
    .map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`)
    .join('');
}

/** Whether a value can be written as text: a form would send back the same bytes. */
export function isText(bytes: Buffer): boolean {
  // Browsers send line feeds as both characters, so a carriage return of the value's own would be lost.
  return isUtf8(bytes) && !/[^\P{Cc}\n\t]/u.test(bytes.toString('utf8'));
}

/**
 * JSON with one member a line, whose numbers and strings stay as they are written.
 * @returns undefined for what is not JSON
 */
export function indentedJson(bytes: Buffer): string | undefined {
  const text = bytes.toString('utf8');
  try {
    JSON.parse(text);
  } catch {
    return undefined;
  }
  let depth = 0;
  const line = () => `\n${'  '.repeat(depth)}`;
  return text.replace(/"(?:[^"\\]|\\.)*"|[{[]\s*[}\]]|[{[\]},:]|\s+/g, (token) => {
    if (token.startsWith('"')) {
      return token;
    }
    if (token.length > 1 && /^[{[]/.test(token)) {
      return `${token[0]}${token.at(-1)}`;
    }
    switch (token) {
      case '{':
      case '[':
        depth += 1;
        return `${token}${line()}`;
      case '}':
      case ']':
        depth -= 1;
        return `${line()}${token}`;
      case ',':
        return `,${line()}`;
      case ':':
        return ': ';
      default:
        return '';
    }
  });
}

/** Bytes in lines of sixteen: their place, their hex digits, and those that are ASCII as text. */
export function hexDump(bytes: Buffer): string {
  const lines: string[] = [];
  for (let from = 0; from < bytes.length; from += BYTES_A_LINE) {
    const line = bytes.subarray(from, from + BYTES_A_LINE);
    const digits = [...line].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = line.toString('latin1').replace(/[^\x20-\x7e]/g, '.');
    lines.push(`${from.toString(16).padStart(6, '0')}  ${digits.padEnd(BYTES_A_LINE * 3 - 1)}  ${text}`);
  }
  return lines.join('\n');
}

/** Reads hex digits, with spaces and lines between them. @returns undefined for anything else */
export function parseHex(text: string): Buffer | undefined {
  const digits = text.replace(/\s+/g, '');
  return /^([0-9a-f]{2})*$/i.test(digits) ? Buffer.from(digits, 'hex') : undefined;
}
