import { parse } from 'cookie';
import type { CookieOptions, Request, Response } from 'express';

/** Browsers keep 4,096 bytes of a cookie, its name and attributes included. A platform's token may be longer. */
const LONGEST_PART = 3_600;
const MOST_PARTS = 4;

/** A cookie that may be longer than browsers take: it is cut into several, and the first says how many they are. */
export class LongCookie {
  /** @param path of the addresses that it is sent to */
  constructor(
    readonly name: string,
    readonly path: string,
  ) {}

  read(request: Request): string | undefined {
    const cookies = parse(request.headers.cookie ?? '');
    const [, count, first] = /^(\d)\.(.+)$/.exec(cookies[this.name] ?? '') ?? [];
    if (first === undefined) {
      return undefined;
    }
    // Parts beyond are those of a longer one before it.
    const rest = Array.from({ length: Number(count) - 1 }, (_, index) => cookies[this.#nameOf(index + 1)]);
    return [first, ...rest].join('');
  }

  /** @throws Error when it is too long for the parts that there are */
  write(response: Response, value: string): void {
    const count = Math.ceil(value.length / LONGEST_PART);
    if (count > MOST_PARTS) {
      throw new Error(`A cookie of ${value.length} bytes is too long`);
    }
    for (let index = 0; index < count; index += 1) {
      const part = value.slice(index * LONGEST_PART, (index + 1) * LONGEST_PART);
      response.cookie(this.#nameOf(index), index === 0 ? `${count}.${part}` : part, this.#options());
    }
  }

  clear(response: Response): void {
    for (let index = 0; index < MOST_PARTS; index += 1) {
      response.clearCookie(this.#nameOf(index), this.#options());
    }
  }

  #nameOf(index: number): string {
    return index === 0 ? this.name : `${this.name}_${index}`;
  }

  #options(): CookieOptions {
    return { path: this.path, secure: true, httpOnly: true, sameSite: 'lax', encode: String };
  }
}
