/**
 * Mistakes in the settings that the operator can correct.
 *
 * The message is one line for each; a line names the variable and says what would be right. It never holds the value
 * of a secret.
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(...problems: string[]) {
    super(problems.map((problem) => problem.replace(/\s+/gu, ' ')).join('\n'));
  }
}

/** @throws ConfigError with this problem */
export function fail(problem: string): never {
  throw new ConfigError(problem);
}

/** Collects mistakes, so that the operator sees all of them at once. */
export class Problems {
  readonly #found: string[] = [];

  add(problem: string): void {
    this.#found.push(problem);
  }

  /** What `read` returns, or undefined when it throws a ConfigError, which is then one of the problems. */
  attempt<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof ConfigError)) {
        throw error;
      }
      this.#found.push(...error.message.split('\n'));
      return undefined;
    }
  }

  /** @throws ConfigError with all that was collected, if anything was */
  throwIfAny(): void {
    if (this.#found.length > 0) {
      throw new ConfigError(...new Set(this.#found));
    }
  }
}
