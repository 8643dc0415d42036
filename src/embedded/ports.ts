import { createServer } from 'node:net';
import path from 'node:path';
import { poll } from './deadline.js';
import { readIfPresent, writeDurably } from './durable-file.js';
import type { EmbeddedLog } from './member.js';

/** A process that was killed just now may have its port for a moment longer, in milliseconds. */
const RELEASE_TIMEOUT_MS = 1_000;

/**
 * Loopback ports that stay the same from start to start, kept in a file. While another program has one of them, any
 * free port takes its place.
 * @param preferred what is taken at the first start, where it is free
 * @throws Error with one line that names the file, when it is damaged
 */
export async function keptPorts(
  file: string,
  preferred: readonly number[],
  log: EmbeddedLog,
): Promise<number[]> {
  const kept = await readPorts(file);
  const taken = new Set<number | undefined>(kept);
  const ports: number[] = [];
  const homes: number[] = [];
  for (const [index, wanted] of preferred.entries()) {
    const home = kept[index] ?? (await freePort(wanted, taken));
    const port = (await isReleased(home)) ? home : await freePort(0, taken);
    if (port !== home) {
      log(
        'warn',
        `Port ${home} of ${path.basename(file, '.json')} ${index + 1} is busy: until the next start it is ${port}`,
      );
    }
    homes.push(home);
    ports.push(port);
  }
  if (homes.some((home, index) => home !== kept[index])) {
    // Those that are not wanted now are kept as well: they may be in credentials.
    const all = [...homes, ...kept.slice(homes.length)];
    await writeDurably(file, `${JSON.stringify({ schema: 1, ports: all })}\n`, 0o600);
  }
  return ports;
}

async function readPorts(file: string): Promise<number[]> {
  const text = await readIfPresent(file);
  if (text === undefined) {
    return [];
  }
  try {
    const { schema, ports } = JSON.parse(text) as { schema: unknown; ports: number[] };
    if (schema === 1 && ports.every((port) => Number.isInteger(port) && port > 0 && port < 65_536)) {
      return ports;
    }
  } catch (error) {
    throw damaged(file, error);
  }
  throw damaged(file);
}

function damaged(file: string, cause?: unknown): Error {
  return new Error(
    `${file} is damaged: restore it from a backup, or remove it and bind every application anew`,
    {
      cause,
    },
  );
}

/** The port wanted, if it is free and not planned for another purpose, or any such one. */
export async function freePort(wanted: number, taken: Set<number | undefined>): Promise<number> {
  for (const candidate of [wanted, ...Array<number>(100).fill(0)]) {
    const port = await listenOnce(candidate);
    if (port !== undefined && !taken.has(port)) {
      taken.add(port);
      return port;
    }
  }
  throw new Error('No free port found on 127.0.0.1');
}

/** Whether a loopback port is free, or becomes so within a second. */
export async function isReleased(port: number): Promise<boolean> {
  return (await poll(() => listenOnce(port), Date.now() + RELEASE_TIMEOUT_MS)) !== undefined;
}

/** Listens on a loopback port for a moment; undefined where that is not possible. */
async function listenOnce(port: number): Promise<number | undefined> {
  return await new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') {
        resolve(undefined);
      } else {
        reject(error);
      }
    });
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      const { port: actual } = server.address() as { port: number };
      server.close(() => resolve(actual));
    });
  });
}
