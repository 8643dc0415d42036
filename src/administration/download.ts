import type { Response } from 'express';
import type { Backups } from '../backups/backups.js';
import { keyLines } from '../backups/key-lines.js';
import type { BackupManifest } from '../backups/manifest.js';

/** Answers with the keys of a backup, one JSON object a line, as fast as the client reads. */
export async function sendBackup(
  response: Response,
  backups: Backups,
  manifest: BackupManifest,
): Promise<void> {
  response
    .set('Cache-Control', 'no-store')
    .attachment(`${manifest.backup_id}.jsonl`)
    .type('application/jsonl');
  await backups.read(
    manifest,
    keyLines((text) => written(response, text)),
  );
  response.end();
}

/** @throws Error when the client is gone */
function written(response: Response, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    if (response.destroyed) {
      reject(new Error('The client has gone away.'));
      return;
    }
    const gone = () => reject(new Error('The client has gone away.'));
    response.once('close', gone);
    response.write(text, (error) => {
      response.off('close', gone);
      error ? reject(error) : resolve();
    });
  });
}
