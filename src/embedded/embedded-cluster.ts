import { access, constants, mkdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import type { Secret } from '../credentials/secret.js';
import { clientEndpoint, type EtcdSettings, etcdArguments } from './arguments.js';
import { type ClientIdentity, type LeafRequest, openCertificates, readIdentity } from './certificates.js';
import { lockDataDir } from './data-lock.js';
import type { EtcdBinary } from './etcd-binary.js';
import { keptRootPassword } from './kept-secrets.js';
import { planLayout, remember } from './layout.js';
import { type EmbeddedLog, Member } from './member.js';
import { startMembers } from './start-up.js';

const START_TIMEOUT_MS = 30_000;
/** Between the look for a free port and etcd's start another program may take it. */
const LOST_PORT = /address already in use/;
const MOST_ATTEMPTS = 5;
const RENEWAL_CHECK_MS = 24 * 60 * 60 * 1000;
export const LOOPBACK_HOSTS = ['localhost', '127.0.0.1', '::1'];
const CERTIFICATES: readonly LeafRequest[] = [
  { name: 'server', subject: 'CN=etcd', use: 'server', hosts: LOOPBACK_HOSTS },
  { name: 'peer', subject: 'CN=etcd-peer', use: 'peer', hosts: LOOPBACK_HOSTS },
];
/**
 * Who may connect where etcd demands certificates. A certificate without a token is a sign-in of etcd's user with its
 * common name: no user has a space in its name.
 */
const CLIENTS: Readonly<Record<ClientName, LeafRequest>> = {
  broker: { name: 'broker', subject: 'CN=the broker', use: 'client', hosts: [], isLasting: true },
  portal: { name: 'portal', subject: 'CN=a portal', use: 'client', hosts: [], isLasting: true },
};

export type ClientName = 'broker' | 'portal';

export interface EmbeddedClusterOptions extends EtcdSettings {
  /** The folder for everything that the cluster keeps; made where missing. */
  dataDir: string;
  binary: EtcdBinary;
  /** How many members: 1, 3 or 5. */
  members: number;
  log: EmbeddedLog;
  /** Is called when the folder is this process's own and before etcd starts. */
  prepare?: () => Promise<unknown>;
  /** Preferred client ports of a new cluster, 0 for any free one; 2379, 2381, … where not given. */
  clientPorts?: readonly number[];
  /** More certificates that the cluster's authority is to issue and renew, for others to serve with. */
  certificates?: readonly LeafRequest[];
  /** The time in which the cluster must have become healthy, in milliseconds; 30,000 where not given. */
  startTimeoutMs?: number;
}

export interface EmbeddedMember {
  readonly name: string;
  /** etcd's process id, or undefined while it is down. */
  readonly pid: number | undefined;
}

export interface EmbeddedCluster extends ClientIdentity {
  /** One `https://localhost:<port>` for each member. */
  readonly endpoints: readonly string[];
  /** PEM */
  readonly caCertificate: string;
  readonly username: 'root';
  readonly password: Secret;
  readonly members: readonly EmbeddedMember[];
  /** What another client connects with, where etcd demands a certificate. */
  identityOf(client: ClientName): Promise<ClientIdentity>;
  /** The file with a certificate that was asked for, and its key, PEM. */
  certificateFile(name: string): string;
  /** When each certificate expires, in milliseconds since 1970. */
  certificateExpiries(): Promise<[certificate: string, expiry: number][]>;
  /** Renews certificates that need it, as a daily check does. @returns the names of those made anew */
  renewCertificates(): Promise<string[]>;
  /** Ends every member and releases the data folder. May be called several times. */
  stop(): Promise<void>;
}

/**
 * Makes the folder for what the broker keeps, if it is not there.
 * @throws Error with one line when the broker can't write there
 */
async function openDataDir(dataDir: string): Promise<string> {
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    await access(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
    return await realpath(dataDir);
  } catch (error) {
    const reason = (error as Error).message.replace(/, \w+ .*$/s, '');
    throw new Error(`DATA_DIR ${dataDir} can't be used (${reason}): set it to a folder that can be written`);
  }
}

/**
 * Starts an etcd cluster on this machine's loopback, with TLS and authentication, that dies with this process.
 * Resolves when root can sign in.
 *
 * @throws Error with one line: the folder is in use, holds a cluster of another size, of a newer etcd or with a
 *   damaged file, or etcd did not become healthy in time (then with what etcd says)
 */
export async function startEmbeddedCluster(options: EmbeddedClusterOptions): Promise<EmbeddedCluster> {
  const { log, binary } = options;
  const dataDir = await openDataDir(options.dataDir);
  const unlock = await lockDataDir(dataDir);
  const members: Member[] = [];
  try {
    const certificates = await openCertificates(path.join(dataDir, 'certificates'), [
      ...CERTIFICATES,
      ...Object.values(CLIENTS),
      ...(options.certificates ?? []),
    ]);
    const identityOf = (client: ClientName) => readIdentity(certificates.file(client));
    const identity = await identityOf('broker');
    const password = await keptRootPassword(dataDir);
    await options.prepare?.();
    const deadline = Date.now() + (options.startTimeoutMs ?? START_TIMEOUT_MS);
    for (let attempt = 1; ; attempt += 1) {
      const layout = await planLayout(
        dataDir,
        options.members,
        binary.version,
        options.clientPorts ?? [],
        log,
      );
      const access = {
        endpoints: layout.map(clientEndpoint),
        caCertificate: certificates.caCertificate,
        password,
        ...identity,
      };
      for (const member of layout) {
        await mkdir(member.dataDir, { recursive: true, mode: 0o700 });
        const args = etcdArguments(member, layout, certificates, options);
        members.push(new Member({ name: member.name, program: binary.path, args, log }));
      }
      try {
        await startMembers(members, access, deadline);
      } catch (error) {
        if (attempt === MOST_ATTEMPTS || !LOST_PORT.test((error as Error).message)) {
          throw error;
        }
        // etcd opens its ports before it writes anything, so the next attempt begins where this one did.
        await Promise.allSettled(members.splice(0).map((member) => member.stop()));
        continue;
      }
      await remember(dataDir, layout, binary.version);
      for (const member of members) {
        member.supervise();
      }
      return {
        ...access,
        username: 'root',
        identityOf,
        certificateFile: certificates.file,
        certificateExpiries: certificates.expiries,
        ...running(members, certificates.renewIfNeeded, log, unlock),
      };
    }
  } catch (error) {
    await Promise.allSettled(members.map((member) => member.stop()));
    await unlock();
    throw error;
  }
}

function running(
  members: readonly Member[],
  renewIfNeeded: () => Promise<string[]>,
  log: EmbeddedLog,
  unlock: () => Promise<void>,
): Pick<EmbeddedCluster, 'members' | 'renewCertificates' | 'stop'> {
  async function renewCertificates(): Promise<string[]> {
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
    members,
    renewCertificates,
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}
