import assert from 'node:assert/strict';
import path from 'node:path';
import { inspect } from 'node:util';
import { readConfig } from '../../src/config/config.js';

const EXTERNAL = {
  BROKER_USERNAME: 'platform',
  BROKER_PASSWORD: 'a-long-password',
  BROKER_ENCRYPTION_KEY: Buffer.alloc(32, 1).toString('base64'),
  ETCD_ENDPOINTS: 'https://etcd-1.example:2379',
  PORTAL: 'off',
};
const KEYS = { BACKUP_S3_ACCESS_KEY_ID: 'an-id', BACKUP_S3_SECRET_ACCESS_KEY: 'a-secret' };

describe('The settings of backups', () => {
  const placeOf = (env: Record<string, string>) => readConfig({ ...EXTERNAL, ...env }).backups?.place;

  it('are off with a cluster of the operator’s, until there is a place for them', () => {
    assert.equal(readConfig(EXTERNAL).backups, undefined);
    assert.equal(readConfig({ BACKUPS: 'off' }).backups, undefined);
    assert.deepEqual(placeOf({ BACKUP_DIR: 'copies' }), { kind: 'folder', folder: path.resolve('copies') });
    assert.equal(readConfig({ ...EXTERNAL, BACKUP_DIR: 'x', BACKUPS: 'off' }).backups, undefined);
  });

  it('name a bucket, whose secret shows nowhere', () => {
    const place = placeOf({
      BACKUP_S3_URL: 'https://s3.example.com/bucket/one',
      ...KEYS,
      BACKUP_S3_REGION: 'eu-1',
    });
    assert.ok(place?.kind === 's3');
    const { secretAccessKey, ...rest } = place;
    assert.deepEqual(rest, {
      kind: 's3',
      url: 'https://s3.example.com/bucket/one',
      style: 'path',
      region: 'eu-1',
      accessKeyId: 'an-id',
    });
    assert.equal(secretAccessKey.reveal(), 'a-secret');
    assert.doesNotMatch(inspect(place, { depth: 9 }) + JSON.stringify(place), /a-secret/);
  });

  it('are found in a bound service that says S3', () => {
    const bound = (credentials: object, words: object = { tags: ['S3'] }) =>
      placeOf({
        VCAP_SERVICES: JSON.stringify({ store: [{ name: 'x', label: 'store', credentials, ...words }] }),
      });
    const credentials = { access_key_id: 'i', secret_access_key: 's', bucket: 'b', region: 'eu-1' };
    const place = bound(credentials);
    assert.ok(place?.kind === 's3');
    assert.deepEqual([place.url, place.accessKeyId], ['https://s3.eu-1.amazonaws.com/b', 'i']);
    const other = bound({ ...credentials, host: 'minio.example' }, { tags: ['object-storage'] });
    assert.ok(other?.kind === 's3' && other.url === 'https://minio.example/b');
    assert.equal(bound(credentials, { tags: ['class3'] }), undefined);
    assert.equal(bound({ bucket: 'b' }), undefined);
  });

  it('keep a deleted instance’s backups for a time, and restore within a space, unless told otherwise', () => {
    const { graceMs, restoreAcross } =
      readConfig({ BACKUP_GRACE: '12h', BACKUP_RESTORE_ACROSS: 'all' }).backups ?? {};
    assert.deepEqual([graceMs, restoreAcross], [12 * 3_600_000, 'all']);
    assert.equal(readConfig({ BACKUP_GRACE: 'off' }).backups?.graceMs, 0);
  });

  for (const [what, env, message] of [
    ['no place', { BACKUPS: 'on' }, /BACKUPS is on, and nothing says where backups are to be kept/],
    ['two places', { BACKUP_DIR: 'x', BACKUP_S3_URL: 'https://h/b', ...KEYS }, /are both set/],
    ['no keys', { BACKUP_S3_URL: 'https://h/b' }, /are not both set; set them to a pair of keys/],
    ['no bucket', { BACKUP_S3_URL: 'https://h/', ...KEYS }, /names no bucket/],
    ['no URL', { BACKUP_S3_URL: 's3://bucket', ...KEYS }, /BACKUP_S3_URL must be an http/],
    [
      'a key in the URL',
      { BACKUP_S3_URL: 'https://i:hunter2@h/b', ...KEYS },
      /BACKUP_S3_URL must be an http/,
    ],
    ['no time', { BACKUP_GRACE: 'long' }, /BACKUP_GRACE must be a whole number and h or d/],
    [
      'no scope',
      { BACKUP_RESTORE_ACROSS: 'world' },
      /BACKUP_RESTORE_ACROSS must be space, organization or all/,
    ],
  ] as const) {
    it(`are refused with ${what}`, () => {
      assert.throws(
        () => readConfig({ ...EXTERNAL, ...env }),
        (error: Error) => message.test(error.message) && !/hunter2/.test(error.message),
      );
    });
  }
});
