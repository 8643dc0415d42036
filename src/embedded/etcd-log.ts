/** A line of etcd's log as the broker repeats it. */
export interface EtcdLogLine {
  level: 'warn' | 'error';
  message: string;
  details: Record<string, string | number>;
}

/**
 * Messages of etcd's that may be repeated as they are. etcd writes tenants' keys, user names and tokens into messages
 * and fields, other ones in each version; so what is not listed here is not repeated.
 */
const MESSAGES = new Set([
  'alarm raised',
  'apply request took too long',
  'db file is flocked by another process, or taking too long',
  'failed to apply request',
  'failed to reach the peer URL',
  'invalid authentication was requested',
  'failed to publish local member to cluster through raft',
  'leader failed to send out heartbeat on time; took too long, leader is overloaded likely from slow disk',
  'lost TCP streaming connection with remote peer',
  'peer became inactive (message send to peer failed)',
  'prober detected unhealthy status',
  'rejected connection',
  'slow fdatasync',
  'the clock difference against peer is too high',
  'timed out waiting for read index response (local node might have slow network)',
  'waiting for ReadIndex response took too long, retrying',
]);

/** Fields that hold numbers, durations and members' ids, nothing of tenants. */
const FIELDS = [
  'alarm',
  'expected-duration',
  'expected-threshold',
  'heartbeat-interval',
  'local-member-id',
  'remote-peer-id',
  'retry-timeout',
  'took',
];

/** What etcd warns of at every start although nothing is wrong. */
const EXPECTED = new Set([
  'established TCP streaming connection with remote peer',
  'simple token is not cryptographically signed',
  'Running http and grpc server on single port. This is not recommended for production.',
]);

/** gRPC in etcd reports each attempt of etcd's own to connect to itself, also while it stops. */
const NOISE = /^(INFO|WARNING|ERROR): [\d/: ]+(\[core\] ?)?(\[.*?\] ?)?grpc: /;

const WITHHELD = 'wrote a line that is not repeated here, since it may name keys or users';
const SOURCE_LINE = /^[\w@.-]+(?:\/[\w@.-]+)*\.go:\d+$/;

/**
 * What may be repeated of a line that etcd wrote. What is withheld is replaced by the place in etcd's source that
 * wrote it.
 *
 * @returns undefined for what is not worth a line
 */
export function readLogLine(line: string): EtcdLogLine | undefined {
  if (line.trim() === '' || NOISE.test(line)) {
    return undefined;
  }
  const { msg, level, caller, ...fields } = parse(line);
  if (typeof msg === 'string' && EXPECTED.has(msg)) {
    return undefined;
  }
  const details: EtcdLogLine['details'] = {};
  if (typeof caller === 'string' && SOURCE_LINE.test(caller)) {
    details.caller = caller;
  }
  const isKnown = typeof msg === 'string' && MESSAGES.has(msg);
  for (const name of isKnown ? FIELDS : []) {
    const value = fields[name];
    if (typeof value === 'number' || (typeof value === 'string' && /^[\w.µ]{1,40}$/.test(value))) {
      details[name] = value;
    }
  }
  return { level: level === 'warn' ? 'warn' : 'error', message: isKnown ? msg : WITHHELD, details };
}

/**
 * Why a member did not start, in etcd's own words: what its start-up code complains about, and what is no log line at
 * all, such as complaints about the command line. Of the rest, which may name keys, only the place in etcd's source.
 */
export function readStartFailure(line: string): string | undefined {
  const { msg, level, error, caller } = parse(line);
  if (typeof msg !== 'string') {
    return line.trim() || undefined;
  }
  const place = String(caller);
  if (/^(etcdmain|embed)\//.test(place) && error !== undefined) {
    return `${msg}: ${error}`;
  }
  if (MESSAGES.has(msg)) {
    return msg;
  }
  return level === 'warn' || level === 'info' || !SOURCE_LINE.test(place)
    ? undefined
    : `it failed at ${place}`;
}

function parse(line: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(line);
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {};
  } catch {
    return {}; // what etcd's runtime prints when it crashes is plain text
  }
}
