import { readFile } from 'node:fs/promises';
import path from 'node:path';

export const PROJECT = path.resolve(import.meta.dirname, '../../..');

/** A program that a document shows. @throws Error when there is none, or more than one, with this first line */
export async function snippet(document: string, opening: string): Promise<string> {
  const text = await readFile(path.join(PROJECT, document), 'utf8');
  const found = [...text.matchAll(/^```(.+)\n([\s\S]*?)^```$/gm)].filter(([, first]) => first === opening);
  if (found.length !== 1) {
    throw new Error(`${document} has ${found.length} programs that begin with \`\`\`${opening}`);
  }
  return found[0]?.[2] as string;
}
