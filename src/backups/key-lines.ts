import type { BackupRecord } from './format/records.js';

/**
 * Writes the keys of a backup as JSON, one object a line: `key_space`, `key`, `value` and `lease`. Bytes that are no
 * UTF-8 text stand in `key_base64` and `value_base64`.
 */
export function keyLines(
  write: (text: string) => Promise<void>,
): (records: readonly BackupRecord[]) => Promise<void> {
  let keySpace = '';
  return async (records) => {
    const lines: string[] = [];
    for (const record of records) {
      if (record.type === 'key space') {
        keySpace = record.name;
      } else if (record.type === 'key') {
        const lease = record.lease === 0n ? {} : { lease: String(record.lease) };
        const entry = {
          key_space: keySpace,
          ...textOf('key', record.key),
          ...textOf('value', record.value),
          ...lease,
        };
        lines.push(`${JSON.stringify(entry)}\n`);
      }
    }
    if (lines.length > 0) {
      await write(lines.join(''));
    }
  };
}

/** Text where it is text, base64 where it is not. */
function textOf(name: 'key' | 'value', bytes: Uint8Array): Record<string, string> {
  const text = Buffer.from(bytes).toString('utf8');
  return Buffer.from(text, 'utf8').equals(bytes)
    ? { [name]: text }
    : { [`${name}_base64`]: Buffer.from(bytes).toString('base64') };
}
