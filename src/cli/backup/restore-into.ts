import type { BackupManifest } from '../../backups/manifest.js';
import { NOBODY, openOperation } from '../../broker/operations/operations.js';
import { restoringFrom } from '../../broker/operations/restoring.js';
import { sleep } from '../../timing.js';
import type { Output } from '../output.js';
import type { Tools } from '../tools.js';
import type { BackupOptions } from './options.js';
import { Progress } from './progress.js';

const LOOK_MS = 500;
/** A broker takes what nobody works on within this time, in milliseconds. */
const TAKEN_WITHIN_MS = 30_000;

/**
 * Writes down that an instance is to be filled from a backup, and looks on while a broker does it. Whoever stops it
 * stops only the looking.
 * @returns the exit code
 */
export async function restoreInto(
  { records, hasPortals }: Tools,
  source: BackupManifest,
  output: Output,
  { into = '', yes }: BackupOptions,
): Promise<number> {
  const stored = await records.readInstance(into);
  if (stored === undefined) {
    throw new Error(`There is no instance "${into}". Make one, then restore into it.`);
  }
  if (stored.value.state !== 'ready') {
    throw new Error(`The instance "${into}" is ${stored.value.state}. Wait for the end of that.`);
  }
  for await (const { value } of records.bindings(into)) {
    if (!hasPortals && value.state === 'ready') {
      throw new Error(
        `The instance "${into}" has bindings, and there are no portals to hold applications off. Unbind them first.`,
      );
    }
  }
  const question = `Replace all keys of the instance ${into} by the backup ${source.backup_id} of ${source.created_at} with ${source.keys} keys?`;
  if (!yes && !(await output.confirm(question))) {
    return 1;
  }
  const operation = openOperation('update', { instance_id: into }, NOBODY);
  const next = restoringFrom(stored.value, operation, source);
  const result = await records.change({ instance: { id: into, expected: stored, next }, opened: operation });
  if (!result.done) {
    throw new Error(`The instance "${into}" has just changed. Try again.`);
  }
  const { state, description } = await watch(records, into, operation.id, source.keys);
  output.line(output.json ? JSON.stringify({ state, description }) : `${state}: ${description}`);
  return state === 'succeeded' ? 0 : 1;
}

async function watch(
  records: Tools['records'],
  instanceId: string,
  operationId: string,
  keys: number,
): Promise<{ state: string; description: string }> {
  const progress = new Progress(process.stderr, 'keys');
  const begunAt = performance.now();
  try {
    for (;;) {
      const operation = await records.readOperation(instanceId, undefined, operationId);
      if (operation === undefined) {
        throw new Error('The operation is gone. "operations" lists what is under way.');
      }
      if (operation.state !== 'in progress') {
        return operation;
      }
      progress.tell(Number(/(\d+) of \d+ keys/.exec(operation.description)?.[1] ?? 0), keys);
      const { value } = (await records.readInstance(instanceId)) ?? {};
      if (value?.work?.owner === NOBODY && performance.now() - begunAt > TAKEN_WITHIN_MS) {
        throw new Error('No broker has begun the restore. It begins as soon as one runs.');
      }
      await sleep(LOOK_MS);
    }
  } finally {
    progress.end();
  }
}
