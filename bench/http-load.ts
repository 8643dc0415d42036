import { connect } from 'node:net';

export const CONNECTIONS = 32;
const HEAD_END = '\r\n\r\n';

/**
 * Asks on 32 connections, again and again on each the same of the requests, and counts the answers in a second. On plain sockets, since Node's HTTP
 * client costs more than the servers do and would level them.
 */
export async function load(port: number, requests: readonly string[], milliseconds: number): Promise<number> {
  const endAt = performance.now() + milliseconds;
  const startedAt = performance.now();
  const counts = await Promise.all(
    Array.from({ length: CONNECTIONS }, (_, index) =>
      askUntil(endAt, port, requests[index % requests.length] as string),
    ),
  );
  const answers = counts.reduce((sum, count) => sum + count, 0);
  return (answers / (performance.now() - startedAt)) * 1_000;
}

/** @returns the number of answers */
function askUntil(endAt: number, port: number, request: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    let answers = 0;
    let missing = 0;
    socket.on('connect', () => socket.write(request));
    socket.on('data', (chunk) => {
      // An answer's head is written in one piece, so it arrives in one.
      missing = (missing === 0 ? lengthOf(chunk) : missing) - chunk.length;
      if (missing > 0) {
        return;
      }
      answers += 1;
      if (performance.now() < endAt) {
        socket.write(request);
      } else {
        resolve(answers);
        socket.destroy();
      }
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('The server closed a connection')));
  });
}

/** The length of a whole answer, from its first bytes. */
function lengthOf(chunk: Buffer): number {
  const head = chunk.toString('latin1', 0, chunk.indexOf(HEAD_END) + HEAD_END.length);
  const body = /^HTTP\/1\.1 200 .*\r\ncontent-length: (\d+)\r\n/is.exec(head)?.[1];
  if (body === undefined) {
    throw new Error(`A request was answered with ${head.split('\r\n')[0]}`);
  }
  return head.length + Number(body);
}
