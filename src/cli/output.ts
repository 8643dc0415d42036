import { createInterface } from 'node:readline/promises';

/** Where a command writes and how it asks. */
export interface Output {
  json: boolean;
  line(text: string): void;
  /** @returns whether the person said yes; no when nobody can be asked */
  confirm(question: string): Promise<boolean>;
}

export function terminal(json: boolean): Output {
  return {
    json,
    line: (text) => {
      process.stdout.write(`${printable(text)}\n`);
    },
    confirm: async (question) => {
      if (!process.stdin.isTTY) {
        process.stderr.write('Nobody can be asked here; add --yes to go on without asking.\n');
        return false;
      }
      const prompt = createInterface({ input: process.stdin, output: process.stderr });
      try {
        return /^y(es)?$/i.test((await prompt.question(`${question} [y/N] `)).trim());
      } finally {
        prompt.close();
      }
    },
  };
}

/**
 * A text on one line, without what would move a terminal's cursor or change its colours: ids from platforms are
 * arbitrary text. What is shown instead is the same in JSON.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    character
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}
