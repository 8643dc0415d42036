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
      process.stdout.write(`${text}\n`);
    },
    confirm: async (question) => {
      if (!process.stdin.isTTY) {
        process.stderr.write('Nobody can be asked here; add --yes to repair without asking.\n');
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
