/**
 * A mistake in the settings that the operator can mend.
 *
 * The message is one line that names the variable and the mend. It never holds the value of a secret.
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(message: string) {
    super(message.replace(/\s+/gu, ' '));
  }
}
