import { readFile } from 'node:fs/promises';

/** The package's own version. */
export async function packageVersion(): Promise<string> {
  const file = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(file) as { version: string }).version;
}
