import type { Certificates } from '../certificates.js';
import { type MemberLayout, peerUrl } from './layout.js';
import { dataDirArgument } from './process-table.js';

const DEFAULT_QUOTA_BYTES = 2 * 1024 ** 3;
const DEFAULT_BCRYPT_COST = 4;

export interface EtcdSettings {
  quotaBytes?: number | undefined;
  bcryptCost?: number | undefined;
  extraArguments?: readonly string[] | undefined;
}

/** The endpoint at which clients reach a member. */
export function clientEndpoint(member: MemberLayout): string {
  return `https://localhost:${member.clientPort}`;
}

/**
 * etcd's command line for one member; every flag means the same in etcd 3.4, 3.5 and 3.6.
 *
 * It names no trusted authority for clients: with one, etcd would demand a certificate of every client.
 */
export function etcdArguments(
  member: MemberLayout,
  members: readonly MemberLayout[],
  certificates: Certificates,
  settings: EtcdSettings,
): string[] {
  const { files, caFile } = certificates;
  return [
    dataDirArgument(member.dataDir),
    `--name=${member.name}`,
    `--listen-client-urls=https://127.0.0.1:${member.clientPort}`,
    `--advertise-client-urls=${clientEndpoint(member)}`,
    `--cert-file=${files.server}`,
    `--key-file=${files.server}`,
    `--listen-peer-urls=${peerUrl(member.peerPort)}`,
    `--initial-advertise-peer-urls=${peerUrl(member.foundingPeerPort)}`,
    `--initial-cluster=${members.map((each) => `${each.name}=${peerUrl(each.foundingPeerPort)}`).join(',')}`,
    '--initial-cluster-state=new',
    `--peer-cert-file=${files.peer}`,
    `--peer-key-file=${files.peer}`,
    `--peer-trusted-ca-file=${caFile}`,
    '--peer-client-cert-auth=true',
    '--auth-token=simple',
    `--bcrypt-cost=${settings.bcryptCost ?? DEFAULT_BCRYPT_COST}`,
    '--auto-compaction-mode=periodic',
    '--auto-compaction-retention=1h',
    `--quota-backend-bytes=${settings.quotaBytes ?? DEFAULT_QUOTA_BYTES}`,
    '--logger=zap',
    '--log-outputs=stderr',
    '--log-level=warn',
    ...electionTiming(members.length),
    ...(settings.extraArguments ?? []),
  ];
}

// A single member has nobody to wait for: short ticks only bring its own election, and so the start, forward.
// The shortest lease is derived from the election's length: it is 1 s then and 2 s by default.
function electionTiming(size: number): string[] {
  return size === 1 ? ['--heartbeat-interval=20', '--election-timeout=100'] : [];
}
