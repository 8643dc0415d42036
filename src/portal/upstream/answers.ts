/**
 * The revision in the header of one of etcd's answers (field 1, within it field 3), 0 when there is none. It does not
 * check the message: only what came from etcd is read.
 */
export function headerRevision(message: Uint8Array): number {
  if (message[0] !== 0x0a) {
    return 0;
  }
  const end = 2 + (message[1] as number); // a header is shorter than 128 bytes
  let at = 2;
  while (at < end) {
    const tag = message[at] as number;
    let value = 0;
    let scale = 1;
    let byte: number;
    at += 1;
    do {
      byte = message[at] as number;
      value += (byte & 0x7f) * scale;
      scale *= 128;
      at += 1;
    } while (byte > 0x7f && at < end);
    if (tag === 0x18) {
      return value;
    }
  }
  return 0;
}
