import path from 'node:path';
import { Secret } from '../credentials/secret.js';
import type { BoundService } from './cloud-foundry.js';
import type { Problems } from './error.js';
import { duration, type Settings } from './settings.js';

/** Where backups are kept. */
export type BackupPlace =
  | { kind: 'folder'; folder: string }
  | {
      kind: 's3';
      url: string;
      style: 'path' | 'virtual-host';
      region: string;
      accessKeyId: string;
      secretAccessKey: Secret;
    };

export interface BackupSettings {
  place: BackupPlace;
  /** For how long the backups of a deleted instance stay, in milliseconds; 0 makes no last one. */
  graceMs: number;
  /** From where a backup may be restored into an instance. */
  restoreAcross: 'space' | 'organization' | 'all';
}

const GRACE = '30d';
const REGION = 'us-east-1';

/**
 * Whether and where backups are made: in `BACKUP_S3_URL`, in `BACKUP_DIR`, in a bound service that says S3, and with an
 * embedded cluster in a folder under `DATA_DIR`.
 * @returns undefined where none are made
 */
export function readBackups(
  settings: Settings,
  isEmbedded: boolean,
  services: readonly BoundService[],
  problems: Problems,
): BackupSettings | undefined {
  if (settings.BACKUPS === 'off') {
    return undefined;
  }
  const place = readPlace(settings, isEmbedded, services, problems);
  if (place === undefined) {
    if (settings.BACKUPS === 'on') {
      problems.add(
        'BACKUPS is on, and nothing says where backups are to be kept; set BACKUP_S3_URL with its keys, or BACKUP_DIR, or bind a service that offers S3.',
      );
    }
    return undefined;
  }
  return {
    place,
    graceMs: duration(settings.BACKUP_GRACE ?? GRACE) ?? 0,
    restoreAcross: settings.BACKUP_RESTORE_ACROSS ?? 'space',
  };
}

function readPlace(
  settings: Settings,
  isEmbedded: boolean,
  services: readonly BoundService[],
  problems: Problems,
): BackupPlace | undefined {
  const { BACKUP_S3_URL: url, BACKUP_DIR: folder } = settings;
  if (url !== undefined && folder !== undefined) {
    problems.add(
      'BACKUP_S3_URL and BACKUP_DIR are both set; backups are kept in one place: unset the other.',
    );
    return undefined;
  }
  if (url !== undefined) {
    return readS3(settings, url, problems);
  }
  if (folder !== undefined) {
    return { kind: 'folder', folder: path.resolve(folder) };
  }
  const bound = services.map(boundS3).find((found) => found !== undefined);
  if (bound !== undefined) {
    return bound;
  }
  return isEmbedded ? { kind: 'folder', folder: path.resolve(settings.DATA_DIR, 'backups') } : undefined;
}

function readS3(settings: Settings, url: string, problems: Problems): BackupPlace | undefined {
  const { BACKUP_S3_ACCESS_KEY_ID: accessKeyId, BACKUP_S3_SECRET_ACCESS_KEY: secretAccessKey } = settings;
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    problems.add(
      'BACKUP_S3_ACCESS_KEY_ID and BACKUP_S3_SECRET_ACCESS_KEY are not both set; set them to a pair of keys that may read and write the bucket of BACKUP_S3_URL.',
    );
    return undefined;
  }
  const style = settings.BACKUP_S3_STYLE ?? 'path';
  if (style === 'path' && new URL(url).pathname.replaceAll('/', '') === '') {
    problems.add(
      'BACKUP_S3_URL names no bucket; set it to https://host/bucket, or set BACKUP_S3_STYLE=virtual-host where the host names it.',
    );
    return undefined;
  }
  return {
    kind: 's3',
    url,
    style,
    region: settings.BACKUP_S3_REGION ?? REGION,
    accessKeyId,
    secretAccessKey: new Secret(secretAccessKey),
  };
}

/** The names that marketplaces give to the credentials of their object stores. */
function boundS3({ name, label, tags, credentials }: BoundService): BackupPlace | undefined {
  if (![name, label, ...tags].some((word) => /(^|[^a-z0-9])s3([^a-z0-9]|$)|object-?stor/i.test(word))) {
    return undefined;
  }
  const text = (...names: string[]): string | undefined => {
    const found = names
      .map((one) => credentials[one])
      .find((value) => typeof value === 'string' && value !== '');
    return found as string | undefined;
  };
  const accessKeyId = text('access_key_id', 'accessKeyId', 'access_key', 'accessKey');
  const secret = text('secret_access_key', 'secretAccessKey', 'secret_key', 'secretKey');
  const bucket = text('bucket', 'bucket_name', 'bucketName', 'name');
  const region = text('region', 'location') ?? REGION;
  const host = text('endpoint', 'host', 'uri', 'url') ?? `s3.${region}.amazonaws.com`;
  if (accessKeyId === undefined || secret === undefined || bucket === undefined) {
    return undefined;
  }
  const origin = /^https?:\/\//.test(host) ? new URL(host).origin : `https://${host}`;
  return {
    kind: 's3',
    url: `${origin}/${bucket}`,
    style: 'path',
    region,
    accessKeyId,
    secretAccessKey: new Secret(secret),
  };
}
