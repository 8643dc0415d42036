import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { isMissing, readIfPresent, writeDurably } from './durable-file.js';
import { isOlder } from './etcd-binary.js';
import type { EmbeddedLog } from './member.js';
import { freePort, isReleased } from './ports.js';

const USUAL_CLIENT_PORT = 2379;

export interface MemberLayout {
  name: string;
  /** The folder of etcd's data. */
  dataDir: string;
  /** Where the member listens for clients now. */
  clientPort: number;
  /** Where it listens when nobody else has that port: the one that credentials name. */
  homePort: number;
  peerPort: number;
}

/** What a data folder holds, by its file `embedded.json`. */
interface Remembered {
  schema: 1;
  /** Of the etcd that used the folder last, e.g. `3.6.14`. */
  etcdVersion?: string;
  members: { name: string; clientPort: number; homePort?: number; peerPort: number }[];
}

/**
 * Decides the members' folders and ports and keeps them in `<dataDir>/embedded.json`, so that endpoints in credentials
 * stay the same. While another program has a member's port, the member listens on a free one.
 *
 * @param version of the etcd that is to use the folder
 * @param clientPorts preferred client ports of a new cluster, 0 for any free one
 * @throws Error with one line when the folder holds a cluster of another size or of a newer etcd, or when a peer port
 *   of an existing cluster is busy
 */
export async function planLayout(
  dataDir: string,
  size: number,
  version: string,
  clientPorts: readonly number[],
  log: EmbeddedLog,
): Promise<MemberLayout[]> {
  const remembered = (await isFounded(dataDir)) ? await readRemembered(dataDir) : undefined;
  const existing = remembered?.members.length ?? size;
  if (existing !== size) {
    throw new Error(
      `DATA_DIR holds a cluster of ${existing} ${existing === 1 ? 'member' : 'members'}, EMBEDDED_MEMBERS asks for ${size}: use another DATA_DIR or set EMBEDDED_MEMBERS=${existing}`,
    );
  }
  if (remembered?.etcdVersion !== undefined && isOlder(version, remembered.etcdVersion)) {
    throw new Error(
      `DATA_DIR ${dataDir} was last used by etcd ${remembered.etcdVersion}, whose data etcd ${version} can't read: set ETCD_BINARY to that version or a newer one, or use another DATA_DIR`,
    );
  }
  const taken = new Set(
    remembered?.members.flatMap(({ clientPort, homePort, peerPort }) => [clientPort, homePort, peerPort]),
  );
  const members: MemberLayout[] = [];
  for (let index = 0; index < size; index += 1) {
    const name = `etcd-${index + 1}`;
    const before = remembered?.members[index];
    const usual = clientPorts[index] ?? USUAL_CLIENT_PORT + 2 * index;
    const homePort = before?.homePort ?? before?.clientPort ?? (await freePort(usual, taken));
    const clientPort = (await isReleased(homePort)) ? homePort : await freePort(0, taken);
    if (clientPort !== homePort) {
      log('warn', `Port ${homePort} of ${name} is busy: until the next start it listens on ${clientPort}`);
    }
    const peerPort = before?.peerPort ?? (await freePort(usual === 0 ? 0 : usual + 1, taken));
    // A single member has no peers, and any port will do.
    if (before && size > 1 && !(await isReleased(peerPort))) {
      throw new Error(`The peer port ${peerPort} of ${name} is busy: end the program that has it`);
    }
    members.push({ name, dataDir: memberDataDir(dataDir, name), clientPort, homePort, peerPort });
  }
  await remember(dataDir, members, remembered?.etcdVersion);
  return members;
}

/** Keeps the layout, with the version of the etcd that has used the folder, once one has. */
export async function remember(
  dataDir: string,
  layout: readonly MemberLayout[],
  etcdVersion: string | undefined,
): Promise<void> {
  const members = layout.map(({ dataDir: _, ...member }) => member);
  const text = `${JSON.stringify({ schema: 1, etcdVersion, members }, undefined, 2)}\n`;
  const file = layoutFile(dataDir);
  if ((await readIfPresent(file)) !== text) {
    await writeDurably(file, text, 0o600);
  }
}

/** @throws Error with one line that names the file, when it is damaged */
export async function readRemembered(dataDir: string): Promise<Remembered | undefined> {
  const file = layoutFile(dataDir);
  const text = await readIfPresent(file);
  if (text === undefined) {
    return undefined;
  }
  try {
    const remembered = JSON.parse(text) as Remembered;
    const ports = remembered.members.flatMap(({ clientPort, peerPort }) => [clientPort, peerPort]);
    if (
      remembered.schema !== 1 ||
      !ports.every((port) => Number.isInteger(port) && port > 0 && port < 65_536)
    ) {
      throw new Error('it has an unknown form');
    }
    return remembered;
  } catch (error) {
    throw new Error(`${file} is damaged (${(error as Error).message}): restore it from a backup`);
  }
}

/** Whether a folder holds a cluster: etcd has made a member's log. */
export async function isFounded(dataDir: string): Promise<boolean> {
  try {
    return (await readdir(path.join(memberDataDir(dataDir, 'etcd-1'), 'member'))).includes('wal');
  } catch (error) {
    if (isMissing(error)) {
      return false;
    }
    throw error;
  }
}

/** The folder of a member's data. */
export function memberDataDir(dataDir: string, name: string): string {
  return path.join(dataDir, 'etcd', name);
}

function layoutFile(dataDir: string): string {
  return path.join(dataDir, 'embedded.json');
}
