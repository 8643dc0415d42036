import { mkdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import type { Secret } from '../credentials/secret.js';
import { clientEndpoint, type EtcdSettings, etcdArguments } from './arguments.js';
import { correctPeerUrls, type RootAccess } from './authentication.js';
import { type CertificateUse, openCertificates } from './certificates.js';
import { endLeftovers, lockDataDir } from './data-lock.js';
import type { EtcdBinary } from './etcd-binary.js';
import { keptRootPassword } from './kept-secrets.js';
import { type MemberLayout, memberDataDir, peerUrl, planLayout } from './layout.js';
import { type EmbeddedLog, Member } from './member.js';
import { startMembers } from './start-up.js';

const START_TIMEOUT_MS = 30_000;
/** Between the look for a free port and etcd's start another program may take it. */
const LOST_PORT = /address already in use/;
const MOST_ATTEMPTS = 5;
const RENEWAL_CHECK_MS = 24 * 60 * 60 * 1000;

export interface EmbeddedClusterOptions extends EtcdSettings {
  /** The folder for everything that the cluster keeps; made where missing. */
  dataDir: string;
  binary: EtcdBinary;
  /** How many members: an odd number from 1 to 5. */
  members: number;
  log: EmbeddedLog;
  /** Names and addresses that the server certificate carries besides localhost and the loopback addresses. */
  hosts?: readonly string[];
  /** Preferred client ports of a new cluster, 0 for any free one; 2379, 2381, … where not given. The peer port is the next one. */
  clientPorts?: readonly number[];
  /** The time in which the cluster must have become healthy, in milliseconds; 30,000 where not given. */
  startTimeoutMs?: number;
}

export interface EmbeddedMember {
  readonly name: string;
  /** etcd's process id, or undefined while it is down. */
  readonly pid: number | undefined;
  readonly clientEndpoint: string;
}

export interface EmbeddedCluster {
  /** One `https://localhost:<port>` for each member. */
  readonly endpoints: readonly string[];
  /** PEM */
  readonly caCertificate: string;
  readonly username: 'root';
  readonly password: Secret;
  readonly members: readonly EmbeddedMember[];
  /** Renews certificates that need it, as a daily check does; see {@link openCertificates}. */
  renewCertificates(): Promise<CertificateUse[]>;
  /** Ends a member, by its place in `members`; it is started again at once. */
  restartMember(index: number): Promise<void>;
  /** Ends every member and gives the data folder free. May be called several times. */
  stop(): Promise<void>;
}

/**
 * Starts an etcd cluster on this machine's loopback, with TLS and authentication, that dies with this process.
 * Resolves when root can sign in.
 *
 * @throws Error with one line: the folder is in use, holds a cluster of another size or a damaged authority, or etcd
 *   did not become healthy in time (then with the last lines that etcd wrote)
 */
export async function startEmbeddedCluster(options: EmbeddedClusterOptions): Promise<EmbeddedCluster> {
  const { log, members: size } = options;
  if (![1, 3, 5].includes(size)) {
    throw new Error(`EMBEDDED_MEMBERS must be 1, 3 or 5, not ${size}`);
  }
  await mkdir(options.dataDir, { recursive: true, mode: 0o700 });
  const dataDir = await realpath(options.dataDir);
  const unlock = await lockDataDir(dataDir);
  const members: Member[] = [];
  try {
    await endLeftovers(
      Array.from({ length: 5 }, (_, index) => memberDataDir(dataDir, `etcd-${index + 1}`)),
      log,
    );
    const certificates = await openCertificates({
      folder: path.join(dataDir, 'certificates'),
      hosts: options.hosts ?? [],
    });
    const password = await keptRootPassword(dataDir);
    const deadline = Date.now() + (options.startTimeoutMs ?? START_TIMEOUT_MS);
    for (let attempt = 1; ; attempt += 1) {
      const layout = await planLayout(dataDir, size, options.clientPorts ?? [], log);
      const endpoints = layout.map(clientEndpoint);
      const access = { endpoints, caCertificate: certificates.caCertificate, password };
      for (const member of layout) {
        await mkdir(member.dataDir, { recursive: true, mode: 0o700 });
        const args = etcdArguments(member, layout, certificates, options);
        members.push(new Member({ name: member.name, program: options.binary.path, args, log }));
      }
      try {
        await startMembers(members, layout, access, deadline);
      } catch (error) {
        if (attempt === MOST_ATTEMPTS || !LOST_PORT.test((error as Error).message)) {
          throw error;
        }
        // etcd opens its ports before it writes anything, so the next attempt begins where this one did.
        await Promise.allSettled(members.splice(0).map((member) => member.stop()));
        continue;
      }
      for (const member of members) {
        member.supervise();
      }
      await correctMoved(access, layout, log);
      return assemble(members, layout, access, certificates.renewIfNeeded, log, unlock);
    }
  } catch (error) {
    await Promise.allSettled(members.map((member) => member.stop()));
    await unlock();
    throw error;
  }
}

// Members find each other where the membership says. A member that had to take another peer port says so here.
async function correctMoved(
  access: RootAccess,
  layout: readonly MemberLayout[],
  log: EmbeddedLog,
): Promise<void> {
  if (layout.every((member) => member.peerPort === member.foundingPeerPort)) {
    return;
  }
  const urls = new Map(layout.map((member) => [member.name, peerUrl(member.peerPort)]));
  for (const name of await correctPeerUrls(access, urls)) {
    log('info', `etcd member ${name} now has the peer URL ${urls.get(name)}`);
  }
}

function assemble(
  members: readonly Member[],
  layout: readonly MemberLayout[],
  access: RootAccess,
  renewIfNeeded: () => Promise<CertificateUse[]>,
  log: EmbeddedLog,
  unlock: () => Promise<void>,
): EmbeddedCluster {
  async function renewCertificates(): Promise<CertificateUse[]> {
    const renewed = await renewIfNeeded();
    if (renewed.length > 0) {
      log('info', `Renewed the embedded cluster's certificates: ${renewed.join(', ')}`);
    }
    return renewed;
  }
  const timer = setInterval(() => {
    renewCertificates().catch((error: Error) =>
      log('error', `The embedded cluster's certificates can't be renewed: ${error.message}`),
    );
  }, RENEWAL_CHECK_MS);
  timer.unref();
  let stopped: Promise<void> | undefined;
  async function stop(): Promise<void> {
    clearInterval(timer);
    for (const member of members) {
      member.prepareStop();
    }
    try {
      // One after the other: a leader hands over before it goes, and would wait 7 s for members that are going too.
      for (const member of members) {
        await member.stop();
      }
    } finally {
      await unlock();
    }
  }
  return {
    ...access,
    username: 'root',
    members: layout.map((place, index) => ({
      name: place.name,
      get pid() {
        return members[index]?.pid;
      },
      clientEndpoint: clientEndpoint(place),
    })),
    renewCertificates,
    restartMember: async (index) => {
      const member = members[index];
      if (member === undefined) {
        throw new RangeError(`There is no member ${index}`);
      }
      await member.restart();
    },
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}
