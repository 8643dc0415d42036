import { access, readdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { isMissing, readIfPresent, writeDurably } from './durable-file.js';
import type { EmbeddedLog } from './member.js';

const USUAL_CLIENT_PORT = 2379;

export interface MemberLayout {
  name: string;
  /** The folder of etcd's data. */
  dataDir: string;
  clientPort: number;
  /** Where the member listens for its peers now. */
  peerPort: number;
  /** The peer port with which the cluster was founded: etcd derives the cluster's identity from it. */
  foundingPeerPort: number;
}

interface RememberedMember {
  name: string;
  clientPort: number;
  peerPort: number;
  foundingPeerPort: number;
}

/**
 * Decides the members' folders and ports and keeps them in `<dataDir>/embedded.json`, so that endpoints in credentials
 * stay the same. Usual ports come first, remembered ones before them, free ones replace what is busy.
 *
 * @param clientPorts preferred client ports, for a new cluster
 * @throws Error with one line when the folder holds a cluster of another size, or when too many peer ports are busy
 *   for the members to find each other
 */
export async function planLayout(
  dataDir: string,
  size: number,
  clientPorts: readonly number[],
  log: EmbeddedLog,
): Promise<MemberLayout[]> {
  const file = path.join(dataDir, 'embedded.json');
  const remembered = await readRemembered(file);
  const founded = await foundedMembers(dataDir);
  const existing = remembered?.length ?? founded.length;
  if (founded.length > 0 && existing !== size) {
    throw new Error(
      `DATA_DIR holds a cluster of ${existing} ${existing === 1 ? 'member' : 'members'}, EMBEDDED_MEMBERS asks for ${size}: use another DATA_DIR or set EMBEDDED_MEMBERS=${existing}`,
    );
  }
  const taken = new Set<number>((remembered ?? []).flatMap((member) => [member.clientPort, member.peerPort]));
  const members: MemberLayout[] = [];
  let movedPeers = 0;
  for (let index = 0; index < size; index += 1) {
    const name = `etcd-${index + 1}`;
    const before = remembered?.[index];
    const wanted = clientPorts[index] ?? USUAL_CLIENT_PORT + 2 * index;
    const clientPort = await pickPort(before?.clientPort, wanted, taken);
    const peerPort = await pickPort(before?.peerPort, wanted === 0 ? 0 : wanted + 1, taken);
    if (before && founded.length > 0) {
      if (clientPort !== before.clientPort) {
        log('warn', `Port ${before.clientPort} of ${name} is busy: it now listens on ${clientPort}`);
      }
      if (peerPort !== before.peerPort) {
        log('warn', `Peer port ${before.peerPort} of ${name} is busy: it now listens on ${peerPort}`);
        movedPeers += 1;
      }
    }
    const foundingPeerPort = (founded.length > 0 && before?.foundingPeerPort) || peerPort;
    members.push({ name, dataDir: memberDataDir(dataDir, name), clientPort, peerPort, foundingPeerPort });
  }
  // The majority must be where the membership says, or nobody can tell the others about a move.
  if (size > 1 && movedPeers > (size - 1) / 2) {
    throw new Error(
      `${movedPeers} of ${size} etcd peer ports are busy (${remembered?.map((member) => member.peerPort).join(', ')}): free them, then start again`,
    );
  }
  await remember(file, members);
  return members;
}

/** The folder of a member's data. */
export function memberDataDir(dataDir: string, name: string): string {
  return path.join(dataDir, 'etcd', name);
}

/** The URL of a member for its peers. */
export function peerUrl(port: number): string {
  return `https://127.0.0.1:${port}`;
}

async function remember(file: string, members: readonly MemberLayout[]): Promise<void> {
  const content = {
    schema: 1,
    members: members.map(({ dataDir: _dataDir, ...member }) => member),
  };
  const text = `${JSON.stringify(content, undefined, 2)}\n`;
  if ((await readIfPresent(file)) !== text) {
    await writeDurably(file, text, 0o600);
  }
}

async function readRemembered(file: string): Promise<RememberedMember[] | undefined> {
  const text = await readIfPresent(file);
  if (text === undefined) {
    return undefined;
  }
  try {
    const { schema, members } = JSON.parse(text) as { schema: unknown; members: RememberedMember[] };
    const ports = members.flatMap((member) => [member.clientPort, member.peerPort, member.foundingPeerPort]);
    if (schema !== 1 || !ports.every((port) => Number.isInteger(port) && port > 0 && port < 65_536)) {
      throw new Error('it has an unknown form');
    }
    return members;
  } catch (error) {
    throw new Error(`${file} can't be read (${(error as Error).message}): restore it from a backup`);
  }
}

// A member has been founded once etcd has made its log.
async function foundedMembers(dataDir: string): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(path.join(dataDir, 'etcd'));
  } catch (error) {
    if (isMissing(error)) {
      return [];
    }
    throw error;
  }
  const founded: string[] = [];
  for (const name of names) {
    try {
      await access(path.join(memberDataDir(dataDir, name), 'member', 'wal'));
      founded.push(name);
    } catch (error) {
      if (!isMissing(error)) {
        throw error;
      }
    }
  }
  return founded;
}

async function pickPort(before: number | undefined, wanted: number, taken: Set<number>): Promise<number> {
  if (before !== undefined && (await isFree(before))) {
    return before;
  }
  const port = wanted !== 0 && !taken.has(wanted) && (await isFree(wanted)) ? wanted : await freePort(taken);
  taken.add(port);
  return port;
}

async function isFree(port: number): Promise<boolean> {
  return (await listenOnce(port)) !== undefined;
}

async function freePort(taken: ReadonlySet<number>): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const port = await listenOnce(0);
    if (port !== undefined && !taken.has(port)) {
      return port;
    }
  }
  throw new Error('No free port found on 127.0.0.1');
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
      const address = server.address();
      const actual = typeof address === 'object' && address !== null ? address.port : port;
      server.close(() => resolve(actual));
    });
  });
}
