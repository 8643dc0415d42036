import { request as requestPlain } from 'node:http';
import { request as requestTls } from 'node:https';
import type { ClusterAddress } from './endpoints.js';

/** etcd's own are some 100 KB. */
const MOST_BYTES = 4 << 20;

/** What a member tells of itself at `/metrics`. Sizes are in bytes. */
export interface MemberMetrics {
  readonly version: string;
  readonly hasLeader: boolean;
  readonly appliedIndex: number;
  readonly size: number;
  readonly inUse: number;
  /** `--quota-backend-bytes` */
  readonly quota: number;
}

/**
 * Asks a member's `/metrics`, which etcd serves at its client port to whoever can connect, without a login. So a user
 * without any rights can know what newer versions tell only root by Status.
 * @param endpoint one of the address's
 * @throws Error when it can't be had in time, or is not etcd's
 */
export async function memberMetrics(
  endpoint: string,
  address: ClusterAddress,
  timeoutMs: number,
): Promise<MemberMetrics> {
  return readMetrics(await text(new URL('/metrics', endpoint), address, AbortSignal.timeout(timeoutMs)));
}

/** @throws Error that names a metric which is not there */
export function readMetrics(exposition: string): MemberMetrics {
  const value = (name: string): number => {
    const found = new RegExp(`^${name} (\\S+)$`, 'm').exec(exposition)?.[1];
    if (found === undefined) {
      throw new Error(`etcd's /metrics has no ${name}`);
    }
    return Number(found);
  };
  const version = /^etcd_server_version\{server_version="([^"]+)"\} 1$/m.exec(exposition)?.[1];
  if (version === undefined) {
    throw new Error("etcd's /metrics has no etcd_server_version");
  }
  return {
    version,
    hasLeader: value('etcd_server_has_leader') === 1,
    appliedIndex: value('etcd_server_proposals_applied_total'),
    size: value('etcd_mvcc_db_total_size_in_bytes'),
    inUse: value('etcd_mvcc_db_total_size_in_use_in_bytes'),
    quota: value('etcd_server_quota_backend_bytes'),
  };
}

function text(url: URL, address: ClusterAddress, signal: AbortSignal): Promise<string> {
  const { caCertificate: ca, clientCertificate: cert, clientKey } = address;
  const request = url.protocol === 'https:' ? requestTls : requestPlain;
  return new Promise((resolve, reject) => {
    const options = { agent: false, signal, ca, cert, key: clientKey?.reveal() };
    const asked = request(url, options, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
        if (body.length > MOST_BYTES) {
          response.destroy(new Error(`the answer of ${url} is larger than ${MOST_BYTES} bytes`));
        }
      });
      response.on('error', reject);
      response.on('end', () =>
        response.statusCode === 200
          ? resolve(body)
          : reject(new Error(`${url} answers ${response.statusCode}`)),
      );
    });
    asked.on('error', reject);
    asked.end();
  });
}
