/** A mistake in the catalog file. The message is one line that says where it is and what would be good. */
export class CatalogError extends Error {
  override readonly name = 'CatalogError';

  constructor(message: string) {
    super(message.replace(/\s+/gu, ' '));
  }
}
