import { open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Backups } from '../../backups/backups.js';
import { restoredName } from '../../backups/backups.js';
import { readBackup } from '../../backups/format/read.js';
import type { BackupHeader, BackupRecord } from '../../backups/format/records.js';
import { keyLines } from '../../backups/key-lines.js';
import { type BackupManifest, dataName } from '../../backups/manifest.js';
import { recordsBytes, restoreRecords } from '../../backups/record-copies.js';
import { StoreError } from '../../backups/stores/store.js';
import { tidy } from '../../backups/tidy.js';
import type { Output } from '../output.js';
import type { Tools } from '../tools.js';
import type { BackupOptions } from './options.js';
import { Progress } from './progress.js';
import { restoreInto } from './restore-into.js';

/** Standard output as bytes, for what is no line of text. */
export type Write = (text: string) => Promise<void>;

/** `backup …` @returns the exit code */
export async function backup(
  tools: Tools,
  output: Output,
  options: BackupOptions,
  write: Write,
): Promise<number> {
  const backups = tools.backups();
  switch (options.command) {
    case 'list':
      return list(backups, output, options.instance);
    case 'now':
      return now(tools, backups, output, options.instance as string);
    case 'verify':
      return verify(tools, backups, output, options);
    case 'export':
      return exportKeys(tools, backups, options, write);
    case 'download':
      return download(backups, output, options);
    case 'delete':
      return remove(backups, output, options);
    case 'restore':
      return restoreInto(tools, await found(backups, options), output, options);
    case 'import':
      throw new Error('An import needs no broker.');
    case 'records':
      return writeRecords(tools, output, options);
    case 'restore-records':
      return readRecords(tools, backups, output, options);
    case 'tidy': {
      const tidied = await tidy(backups);
      const { indexed, removed } = tidied;
      output.line(
        output.json
          ? JSON.stringify(tidied)
          : `${indexed} backups were found that the records did not know, ${removed} leftovers were removed.`,
      );
      return 0;
    }
  }
}

async function list(backups: Backups, output: Output, instance: string | undefined): Promise<number> {
  const all = await backups.list(instance);
  if (output.json) {
    output.line(JSON.stringify({ backups: all }));
    return 0;
  }
  for (const { backup_id, created_at, kind, instance_id, keys, bytes, size } of all) {
    output.line(
      `${backup_id}  ${created_at}  ${kind.padEnd(14)}  ${instance_id}  ${keys} keys, ${bytes} bytes, ${size} stored`,
    );
  }
  output.line(
    all.length === 0 ? 'There are no backups.' : `${all.length} backups in ${backups.parts.store.where}`,
  );
  return 0;
}

async function now(tools: Tools, backups: Backups, output: Output, instanceId: string): Promise<number> {
  const stored = await tools.records.readInstance(instanceId);
  if (stored === undefined) {
    throw new Error(`There is no instance "${instanceId}".`);
  }
  const progress = new Progress(process.stderr, 'keys');
  const made = await backups
    .take(stored.value, 'on_demand', { onProgress: ({ keys, of }) => progress.tell(keys, of) })
    .finally(() => progress.end());
  output.line(
    output.json
      ? JSON.stringify(made)
      : `${made.backup_id}  ${made.keys} keys, ${made.bytes} bytes, ${made.size} stored`,
  );
  return 0;
}

/** What a backup holds, key space by key space. */
async function verify(
  tools: Tools,
  backups: Backups,
  output: Output,
  options: BackupOptions,
): Promise<number> {
  const keySpaces = new Map<string, number>();
  let current = '';
  const trailer = await readFrom(tools, backups, options, async (records) => {
    for (const record of records) {
      if (record.type === 'key space') {
        current = record.name;
        keySpaces.set(current, 0);
      } else if (record.type === 'key') {
        keySpaces.set(current, (keySpaces.get(current) ?? 0) + 1);
      }
    }
  });
  const spaces = [...keySpaces].map(([name, keys]) => ({ name, restored_as: restoredName(name), keys }));
  if (output.json) {
    output.line(JSON.stringify({ ...trailer, key_spaces: spaces }));
    return 0;
  }
  for (const { name, restored_as, keys } of spaces) {
    const as = restored_as === name ? '' : `, in another instance "${restored_as}"`;
    output.line(`key space "${name}"${as}: ${keys} keys`);
  }
  output.line(`The backup is whole: ${trailer.keys} keys, ${trailer.leases} leases, ${trailer.bytes} bytes.`);
  return 0;
}

async function exportKeys(
  tools: Tools,
  backups: Backups,
  options: BackupOptions,
  write: Write,
): Promise<number> {
  await readFrom(tools, backups, options, keyLines(write));
  return 0;
}

async function download(backups: Backups, output: Output, options: BackupOptions): Promise<number> {
  const manifest = await found(backups, options);
  const target = path.resolve(options.output ?? `${manifest.backup_id}.backup`);
  const part = `${target}.${manifest.backup_id}.part`;
  const had = (await stat(part).catch(() => undefined))?.size ?? 0;
  const file = await open(part, 'a', 0o600);
  const progress = new Progress(process.stderr, 'bytes');
  let at = Math.min(had, manifest.size);
  try {
    if (at < manifest.size) {
      const { store } = backups.parts;
      for await (const piece of store.read(dataName(manifest.deployment_id, manifest.backup_id), at)) {
        await file.appendFile(piece);
        at += piece.length;
        progress.tell(at, manifest.size);
      }
    }
    await file.sync();
  } finally {
    progress.end();
    await file.close();
  }
  if (at !== manifest.size) {
    throw new Error(`The store has ${at} bytes of ${manifest.size}: the backup is damaged.`);
  }
  await rename(part, target);
  output.line(output.json ? JSON.stringify({ file: target, size: at }) : `${target}: ${at} bytes, sealed`);
  return 0;
}

async function writeRecords(tools: Tools, output: Output, options: BackupOptions): Promise<number> {
  const { client } = tools.cluster;
  const time = new Date().toISOString().replace(/[:.]/g, '-');
  const target = path.resolve(options.output ?? `records-${time}.backup`);
  const { version } = await client.maintenance.status();
  let count = 0;
  const file = await open(target, 'wx', 0o600);
  try {
    const onEnd = ({ keys }: { keys: number }) => {
      count = keys;
    };
    for await (const piece of recordsBytes(client, tools.seals, version, onEnd)) {
      await file.appendFile(piece);
    }
    await file.sync();
  } catch (error) {
    await rm(target, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  output.line(
    output.json ? JSON.stringify({ file: target, records: count }) : `${target}: ${count} records, sealed`,
  );
  return 0;
}

async function readRecords(
  tools: Tools,
  backups: Backups,
  output: Output,
  options: BackupOptions,
): Promise<number> {
  // The index was lost with the cluster; the store knows.
  await tidy(backups);
  const newest = new Map<string, BackupManifest>();
  for (const manifest of (await backups.list()).reverse()) {
    newest.set(manifest.deployment_id, manifest);
  }
  const pieces = await openFile(options.file as string);
  const restored = await restoreRecords(tools.cluster.client, tools.seals, pieces, (id) => newest.get(id));
  output.line(
    output.json
      ? JSON.stringify(restored)
      : `${restored.records} records are there again. ${restored.restoring} instances are being restored by the broker ("operations" shows how far), ${restored.empty} have no backup. Run "check --repair" to make roles and users again.`,
  );
  return 0;
}

async function openFile(name: string): Promise<AsyncIterable<Uint8Array>> {
  const file = await open(name).catch((cause: Error) => {
    throw new StoreError('not found', `${name} can not be read: ${cause.message}`, { cause });
  });
  return file.createReadStream({ highWaterMark: 256 * 1024 });
}

async function remove(backups: Backups, output: Output, options: BackupOptions): Promise<number> {
  const manifest = await found(backups, options);
  const { backup_id, kind, created_at, instance_id } = manifest;
  const question = `Delete the ${kind} backup ${backup_id} of ${created_at} of the instance ${instance_id}?`;
  if (!options.yes && !(await output.confirm(question))) {
    return 1;
  }
  await backups.delete(manifest);
  output.line(output.json ? JSON.stringify({ deleted: backup_id }) : `${backup_id} was deleted.`);
  return 0;
}

async function found(
  backups: Backups,
  { instance = '', backup: id = '' }: BackupOptions,
): Promise<BackupManifest> {
  const manifest = await backups.find(instance, id);
  if (manifest === undefined) {
    throw new Error(
      `The instance "${instance}" has no such backup. "backup list ${instance}" lists those that it has.`,
    );
  }
  return manifest;
}

/** Out of the store, or out of a file that was downloaded. */
async function readFrom(
  tools: Tools,
  backups: Backups,
  options: BackupOptions,
  onRecords: (records: readonly BackupRecord[]) => Promise<void>,
) {
  if (options.file === undefined) {
    return backups.read(await found(backups, options), onRecords);
  }
  const pieces = await openFile(options.file);
  const header = (_header: BackupHeader) => undefined;
  return readBackup(pieces, tools.seals, { header, records: onRecords });
}
