import { ConnectionError, ErrorCode } from './errors.js';

/**
 * The lengths in bits of the code of each byte and of the end-of-string symbol (RFC 7541, appendix B). The code is
 * canonical: by length, then by symbol, each is one more than the one before, so the lengths are all that it takes.
 */
const CODE_LENGTHS = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28,
  28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7,
  8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19,
  13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13,
  28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21,
  22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23,
  22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25,
  25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];
const END_OF_STRING = 256;
const LONGEST = 30;
/** Shortest code: five bits. What a string can grow to. */
const SHORTEST = 5;

/** A binary tree: at `2 * node + bit` the next node, or `-1 - symbol`. */
const tree = new Int16Array(2 * CODE_LENGTHS.length);
const codes = new Uint32Array(CODE_LENGTHS.length);
build();

function build(): void {
  let nodes = 1;
  let code = 0;
  for (let length = 1; length <= LONGEST; length++) {
    code *= 2;
    for (const [symbol, its] of CODE_LENGTHS.entries()) {
      if (its !== length) {
        continue;
      }
      codes[symbol] = code;
      let node = 0;
      for (let bit = length - 1; bit > 0; bit--) {
        const slot = 2 * node + ((code >>> bit) & 1);
        if (tree[slot] === 0) {
          tree[slot] = nodes++;
        }
        node = tree[slot] as number;
      }
      tree[2 * node + (code & 1)] = -1 - symbol;
      code++;
    }
  }
}

/** @throws ConnectionError (COMPRESSION_ERROR) where it is no Huffman code of RFC 7541, section 5.2 */
export function huffmanDecode(bytes: Uint8Array): string {
  const text = Buffer.allocUnsafe(Math.floor((bytes.length * 8) / SHORTEST));
  let length = 0;
  let node = 0;
  let bitsOfCode = 0;
  let ones = true;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      const value = (byte >>> bit) & 1;
      ones &&= value === 1;
      bitsOfCode++;
      node = tree[2 * node + value] as number;
      if (node < 0) {
        const symbol = -1 - node;
        if (symbol === END_OF_STRING) {
          throw new ConnectionError(ErrorCode.COMPRESSION_ERROR, 'the end of a string inside a string');
        }
        text[length++] = symbol;
        node = 0;
        bitsOfCode = 0;
        ones = true;
      }
    }
  }
  if (bitsOfCode > 7 || !ones) {
    throw new ConnectionError(ErrorCode.COMPRESSION_ERROR, 'a Huffman code with wrong padding');
  }
  return text.toString('latin1', 0, length);
}

/** @param text Latin-1 */
export function huffmanEncode(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const out: number[] = [];
  let held = 0n;
  let bits = 0;
  for (const byte of bytes) {
    const length = CODE_LENGTHS[byte] as number;
    held = (held << BigInt(length)) | BigInt(codes[byte] as number);
    bits += length;
    while (bits >= 8) {
      bits -= 8;
      out.push(Number(held >> BigInt(bits)));
      held &= (1n << BigInt(bits)) - 1n;
    }
  }
  if (bits > 0) {
    out.push((Number(held) << (8 - bits)) | ((1 << (8 - bits)) - 1));
  }
  return Buffer.from(out);
}
