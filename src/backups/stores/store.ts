/** A backup's data or its manifest, in a store. */
export interface StoredFile {
  readonly name: string;
  readonly bytes: number;
  /** When it was written, by the store's clock, in milliseconds since 1970. */
  readonly at: number;
}

/**
 * Where backups are kept. Names are `<24 hex>/<24 hex>.<data or manifest>`. A file is there wholly or not at all: one
 * that could not be finished is under no name, or is found by {@link leftovers}.
 *
 * Methods throw {@link StoreError}.
 */
export interface BackupStore {
  /** Says where that is, for people. */
  readonly where: string;
  /** Writes a file. What fails leaves nothing under the name. @returns how many bytes it has */
  write(name: string, pieces: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<number>;
  /** @param from the first byte that is wanted @throws StoreError of the kind `not found` */
  read(name: string, from?: number): AsyncIterable<Uint8Array>;
  /** Everything whose name begins so. */
  list(prefix: string): AsyncIterable<StoredFile>;
  /** Without effect where there is none. */
  delete(name: string): Promise<void>;
  /** Removes what writes that were given up have left, older than so many milliseconds. @returns how many */
  sweep(olderThanMs: number): Promise<number>;
}

export class StoreError extends Error {
  override readonly name = 'StoreError';

  /** @param kind `full` and `refused` need a person; `away` may go by */
  constructor(
    readonly kind: 'not found' | 'full' | 'refused' | 'unsupported' | 'away',
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export const NAME = /^[0-9a-f]{24}\/[0-9a-f]{24}\.(data|manifest)$/;

/** No name may lead out of the store. @throws Error */
export function assertName(name: string): void {
  if (!NAME.test(name)) {
    throw new Error('A name in the store of backups is not of its form.');
  }
}
