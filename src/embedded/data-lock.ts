import { createHash } from 'node:crypto';
import { rm, stat } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

/**
 * Takes a data folder for this process, by a local socket that only one process can have. The kernel releases it
 * with the process, however that ends.
 *
 * @returns a function that releases the folder; it may be called several times
 * @throws Error with one line when another process, or this one, has the folder
 */
export async function lockDataDir(dataDir: string): Promise<() => Promise<void>> {
  // Whatever path leads to a folder, its numbers are the same.
  const { dev, ino } = await stat(dataDir, { bigint: true });
  const id = createHash('sha256').update(`${dev} ${ino}`).digest('hex').slice(0, 32);
  const name = `compose-etcd-broker-${id}`;
  // Linux has names for sockets that are not files. Elsewhere the file of a dead process stays and is removed.
  const isAbstract = process.platform === 'linux';
  const address = isAbstract ? `\0${name}` : path.join(tmpdir(), `${name}.sock`);
  let server = await listen(address);
  if (server === undefined && !isAbstract && !(await isServed(address))) {
    await rm(address, { force: true });
    server = await listen(address);
  }
  if (server === undefined) {
    throw new Error(
      `DATA_DIR ${dataDir} is in use by another broker: stop it, or set DATA_DIR to another folder`,
    );
  }
  const held = server;
  return () => new Promise((resolve) => held.close(() => resolve()));
}

/** undefined when the address is taken. */
async function listen(address: string): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  return await new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
    );
    server.listen(address, () => resolve(server.unref()));
  });
}

async function isServed(address: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(address);
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('close', () => socket.destroy());
  });
}
