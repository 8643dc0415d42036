/** etcd's messages as far as these tests need them, written by hand. */

/** A field of bytes (wire type 2). */
export function bytesField(field: number, value: Uint8Array | string): Buffer {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([varint((field << 3) | 2), varint(bytes.length), bytes]);
}

/** A field of an unsigned number (wire type 0). */
export function numberField(field: number, value: number): Buffer {
  return Buffer.concat([varint(field << 3), varint(value)]);
}

export function rangeRequest(key: string): Buffer {
  return bytesField(1, key);
}

export function putRequest(key: string, value: Uint8Array | string): Buffer {
  return Buffer.concat([bytesField(1, key), bytesField(2, value)]);
}

/** WatchRequest with a create_request for one key. */
export function watchRequest(key: string): Buffer {
  return bytesField(1, bytesField(1, key));
}

/** The fields of a message, in order: numbers and bytes only. */
export function fieldsOf(message: Buffer): [field: number, value: number | Buffer][] {
  const fields: [number, number | Buffer][] = [];
  let at = 0;
  const next = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++];
      if (byte === undefined) {
        throw new Error('a message that is cut off');
      }
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        return value;
      }
    }
  };
  while (at < message.length) {
    const tag = next();
    const length = next();
    if (tag % 8 === 2) {
      fields.push([tag >>> 3, message.subarray(at, at + length)]);
      at += length;
    } else {
      fields.push([tag >>> 3, length]);
    }
  }
  return fields;
}

/** The one field of bytes with this number. */
export function bytesOf(message: Buffer, field: number): Buffer {
  const found = fieldsOf(message).find(([number]) => number === field)?.[1];
  if (!Buffer.isBuffer(found)) {
    throw new Error(`no field ${field} of bytes`);
  }
  return found;
}

/** The value of the first key of a RangeResponse. */
export function firstValue(response: Buffer): string {
  return bytesOf(bytesOf(response, 2), 5).toString();
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) {
    bytes.push((rest % 128) | 0x80);
  }
  return Buffer.from([...bytes, rest]);
}
