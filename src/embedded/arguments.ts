import type { Certificates } from './certificates.js';
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
    // What came after the latest snapshot is read again at each start; 100,000 entries, the default before 3.6, cost a second.
    '--snapshot-count=10000',
    `--quota-backend-bytes=${settings.quotaBytes ?? DEFAULT_QUOTA_BYTES}`,
    '--logger=zap',
    '--log-outputs=stderr',
    '--log-level=warn',
    ...electionTiming(members.length),
    ...(settings.extraArguments ?? []),
  ];
}

// Shorter than etcd's defaults of 100 and 1000 ms, which are made for networks: members on one machine are nearer, and
// a single one has nobody to wait for. This brings the election, and so the start, forward. etcd also derives the
// shortest lease from it: 1 s instead of 2 s.
function electionTiming(size: number): string[] {
  return size === 1
    ? ['--heartbeat-interval=20', '--election-timeout=100']
    : ['--heartbeat-interval=50', '--election-timeout=500', '--pre-vote=true'];
}
