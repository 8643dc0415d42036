import { mkdtemp, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { runCommand } from '../../../src/embedded/run-command.js';
import { PROJECT, remove } from './folders.js';
import { tools } from './tools.js';

// biome-ignore lint/suspicious/noExplicitAny: manifests of any kind
export type Manifest = any;

type Model = new (data: Manifest) => { validate(): void };

const COMPILER_TIMEOUT_MS = 60_000;

/** @throws Error when it is no YAML */
export function manifestsOf(text: string): Manifest[] {
  return parseAllDocuments(text)
    .map((document) => {
      const [error] = document.errors;
      if (error !== undefined) {
        throw error;
      }
      return document.toJS();
    })
    .filter((manifest) => manifest !== null);
}

/**
 * Checks manifests against the schemas that Kubernetes publishes: what is required and of which type by their
 * validators, and members that do not exist by their types, with TypeScript's compiler.
 *
 * @throws Error that says what is wrong
 */
export async function validate(manifests: readonly Manifest[]): Promise<void> {
  const folder = await tools();
  const require = createRequire(path.join(folder, 'package.json'));
  const lines: string[] = [];
  for (const [index, manifest] of manifests.entries()) {
    const { apiVersion, kind, metadata } = manifest;
    const module = `kubernetes-models/${apiVersion}/${kind}`;
    const Kind = (require(module) as Record<string, Model>)[kind] as Model;
    try {
      new Kind(manifest).validate();
    } catch (error) {
      throw new Error(`${kind} ${metadata?.name}: ${(error as Error).message}`, { cause: error });
    }
    lines.push(
      `import type { I${kind} as I${index} } from '${module}';`,
      `export const manifest${index}: I${index} = ${JSON.stringify(manifest)};`,
    );
  }
  // In the folder of the tools, so that the compiler finds their types.
  const source = await mkdtemp(path.join(folder, 'manifests-'));
  try {
    await writeFile(path.join(source, 'manifests.ts'), lines.join('\n'));
    const options = [
      '--ignoreConfig',
      '--noEmit',
      '--strict',
      '--skipLibCheck',
      '--module',
      'nodenext',
      '--types',
      '',
    ];
    const compiler = path.join(PROJECT, 'node_modules/typescript/bin/tsc');
    const all = [compiler, ...options, 'manifests.ts'];
    await runCommand(process.execPath, all, { cwd: source, timeoutMs: COMPILER_TIMEOUT_MS });
  } catch (error) {
    const stdout = ((error as Error).cause as { stdout?: string } | undefined)?.stdout;
    throw new Error(`${(error as Error).message}: ${stdout ?? ''}`, { cause: error });
  } finally {
    await remove(source);
  }
}
