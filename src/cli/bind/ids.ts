import { createHash } from 'node:crypto';

/** This command's own name space of RFC 9562, "UUID Version 5": other tools that derive ids get others. */
const NAMESPACE = 'd8c4f1c2-54f8-4a0c-9f5e-0b5f3c9b7e21';

/** The instance's id: the same name gives the same id, so a repeated call finds what the first one made. */
export function instanceIdOf(name: string): string {
  return uuid5(NAMESPACE, name);
}

/** The id of a binding of that instance. */
export function bindingIdOf(instanceId: string, binding: string): string {
  return uuid5(instanceId, binding);
}

/** RFC 9562, "UUID Version 5": SHA-1 of the name space and the name, with version and variant set. */
export function uuid5(namespace: string, name: string): string {
  const hash = createHash('sha1')
    .update(Buffer.from(namespace.replaceAll('-', ''), 'hex'))
    .update(name, 'utf8');
  const bytes = hash.digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x50, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
