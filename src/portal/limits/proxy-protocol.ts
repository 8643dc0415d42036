import { type Address, formatAddress } from '../../addresses/addresses.js';

/** The header was read. `rest` is what came after it. */
export interface ProxyHeader {
  readonly kind: 'header';
  /** Undefined when the balancer speaks for itself or does not say: then the socket's own peer counts. */
  readonly peer: { readonly address: string; readonly port: number } | undefined;
  readonly rest: Buffer;
}

export type ProxyResult = ProxyHeader | { kind: 'more' } | { kind: 'refused'; reason: string };

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const VERSION_1 = Buffer.from('PROXY ', 'latin1');
const FIXED_BYTES = 16;
/** A sender has to send the header at once, below the smallest MSS of TCP. */
const MOST_BYTES = 536;

const MORE: ProxyResult = { kind: 'more' };

/**
 * Reads the header of the PROXY protocol, version 2, at the start of a connection (haproxy's proxy-protocol.txt, 2.2).
 * It holds at most 552 bytes and waits for no more than the header says. The caller sets the deadline.
 */
export class ProxyHeaderParser {
  #received: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): ProxyResult {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    const bytes = this.#received;
    const start = bytes.subarray(0, SIGNATURE.length);
    if (!start.equals(SIGNATURE.subarray(0, start.length))) {
      const isVersion1 = bytes.subarray(0, VERSION_1.length).equals(VERSION_1.subarray(0, bytes.length));
      if (isVersion1 && bytes.length < VERSION_1.length) {
        return MORE;
      }
      return refused(
        isVersion1
          ? 'PROXY protocol version 1 was sent; set the load balancer to version 2'
          : 'no PROXY protocol header was sent; is the load balancer set to send it?',
      );
    }
    return bytes.length < FIXED_BYTES ? MORE : this.#readHeader(bytes);
  }

  #readHeader(bytes: Buffer): ProxyResult {
    const version = bytes.readUInt8(12) >> 4;
    const command = bytes.readUInt8(12) & 0x0f;
    const family = bytes.readUInt8(13) >> 4;
    const transport = bytes.readUInt8(13) & 0x0f;
    const length = bytes.readUInt16BE(14);
    if (version !== 2) {
      return refused(`PROXY protocol version ${version} is unknown`);
    }
    if (command > 1) {
      return refused(`PROXY protocol command ${command} is unknown`);
    }
    if (length > MOST_BYTES) {
      return refused(`the PROXY protocol header has ${length} bytes, more than ${MOST_BYTES}`);
    }
    const isLocal = command === 0;
    if (!isLocal && (family > 3 || transport > 2)) {
      return refused(`PROXY protocol family and transport ${bytes.readUInt8(13)} are unknown`);
    }
    // Only TCP names a peer that a whitelist can know; all else falls back to the socket's own, as UNSPEC does.
    const size = isLocal || transport !== 1 ? 0 : family === 1 ? 4 : family === 2 ? 16 : 0;
    if (size > 0 && length < 2 * size + 4) {
      return refused(`the PROXY protocol header has ${length} bytes, too few for its addresses`);
    }
    if (bytes.length < FIXED_BYTES + length) {
      return MORE;
    }
    const rest = bytes.subarray(FIXED_BYTES + length);
    if (size === 0) {
      return { kind: 'header', peer: undefined, rest };
    }
    const address = formatAddress(addressOf(bytes.subarray(FIXED_BYTES, FIXED_BYTES + size)));
    return { kind: 'header', peer: { address, port: bytes.readUInt16BE(FIXED_BYTES + 2 * size) }, rest };
  }
}

function addressOf(source: Buffer): Address {
  const bytes = new Uint8Array(16);
  if (source.length === 16) {
    bytes.set(source);
    return { bytes, family: 6 };
  }
  bytes.fill(0xff, 10, 12);
  bytes.set(source, 12);
  return { bytes, family: 4 };
}

function refused(reason: string): ProxyResult {
  return { kind: 'refused', reason };
}
