import type { Certificates } from './certificates.js';
import type { MemberLayout } from './layout.js';

const DEFAULT_QUOTA_BYTES = 2 * 1024 ** 3;

export interface EtcdSettings {
  quotaBytes?: number | undefined;
  /** Whether clients need a certificate of the cluster's own authority, so that only the broker and its portals connect. */
  clientCertificates?: boolean | undefined;
  extraArguments?: readonly string[] | undefined;
}

/** The endpoint at which clients reach a member. */
export function clientEndpoint(member: MemberLayout): string {
  return `https://localhost:${member.clientPort}`;
}

/** etcd's command line for one member; every flag means the same in etcd 3.4, 3.5 and 3.6. */
export function etcdArguments(
  member: MemberLayout,
  members: readonly MemberLayout[],
  certificates: Certificates,
  settings: EtcdSettings,
): string[] {
  const [server, peer] = [certificates.file('server'), certificates.file('peer')];
  return [
    `--data-dir=${member.dataDir}`,
    `--name=${member.name}`,
    `--listen-client-urls=https://127.0.0.1:${member.clientPort}`,
    `--advertise-client-urls=${clientEndpoint(member)}`,
    `--cert-file=${server}`,
    `--key-file=${server}`,
    // A trusted authority alone makes etcd demand a certificate of every client. The gateway for JSON would need one too.
    ...(settings.clientCertificates
      ? ['--client-cert-auth=true', `--trusted-ca-file=${certificates.caFile}`, '--enable-grpc-gateway=false']
      : []),
    // A single member has no peers: it needs no port of its own for them, only one to be founded with.
    `--listen-peer-urls=${members.length === 1 ? 'https://127.0.0.1:0' : peerUrl(member)}`,
    `--initial-advertise-peer-urls=${peerUrl(member)}`,
    `--initial-cluster=${members.map((each) => `${each.name}=${peerUrl(each)}`).join(',')}`,
    '--initial-cluster-state=new',
    `--peer-cert-file=${peer}`,
    `--peer-key-file=${peer}`,
    `--peer-trusted-ca-file=${certificates.caFile}`,
    '--peer-client-cert-auth=true',
    '--auth-token=simple',
    // The least cost: passwords are random, and a sign-in at etcd's default takes 65 ms.
    '--bcrypt-cost=4',
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

function peerUrl({ peerPort }: MemberLayout): string {
  return `https://127.0.0.1:${peerPort}`;
}

// Shorter than etcd's defaults of 100 and 1000 ms, which are made for networks: members on one machine are nearer, and
// a single one has nobody to wait for. This brings the election, and so the start, forward. etcd also derives the
// shortest lease from it: 1 s instead of 2 s.
function electionTiming(size: number): string[] {
  return size === 1
    ? ['--heartbeat-interval=20', '--election-timeout=100']
    : ['--heartbeat-interval=50', '--election-timeout=500', '--pre-vote=true'];
}
