import { Exposition } from '../../observability/exposition.js';
import { Code } from '../calls/status.js';
import { GAUGE_KINDS } from '../limits/gauges.js';
import { callsByPath } from '../table/lookup.js';
import { BUCKETS } from './call-times.js';
import type { PortalSnapshot } from './snapshot.js';

/** A portal and what it told; undefined when it did not answer. */
export interface ToldPortal {
  readonly name: string;
  readonly snapshot: PortalSnapshot | undefined;
}

/** The limits that a portal refuses by, in `limits/`, so that each is counted from the start. */
const LIMITS = [
  ...GAUGE_KINDS.flatMap((kind) => [kind, `portal ${kind}`]),
  'waiting',
  'stored bytes',
  'history',
  'cluster',
  'delayed guesses',
  'guesses by address',
  'guesses by user and address',
];

/** Calls that go on for as long as the client wants, whose time says nothing. */
const STREAMS = new Set(
  [...callsByPath.values()].flatMap((call) =>
    call.handling === 'denied' || call.kind === 'unary' ? [] : [call.name],
  ),
);

/**
 * The metrics of portals in the format of Prometheus. An instance is named by its deployment's id, in the label
 * `deployment`: Prometheus itself sets `instance`, to what it scrapes.
 */
export function portalMetrics(portals: readonly ToldPortal[]): Promise<string> {
  const exposition = new Exposition();
  const up = exposition.gauge('compose_etcd_portal_up', '1 when the portal answers.');
  const writers = [connections(exposition), calls(exposition), instances(exposition), expiry(exposition)];
  for (const { name: portal, snapshot } of portals) {
    up(snapshot === undefined ? 0 : 1, { portal });
    if (snapshot !== undefined) {
      for (const write of writers) {
        write(portal, snapshot);
      }
    }
  }
  return exposition.text();
}

type Writer = (portal: string, snapshot: PortalSnapshot) => void;

function connections(exposition: Exposition): Writer {
  const gauge = (name: string, help: string) => exposition.gauge(`compose_etcd_portal_${name}`, help);
  const open = gauge('connections', 'Open connections, those without a sign-in included.');
  const signedIn = gauge(
    'tenant_connections',
    'Open connections of tenants; one that several use counts for each.',
  );
  const streams = gauge('streams', 'Open watches, keep-alives and other streams.');
  const watches = gauge('watches', 'Watches; a stream may hold many.');
  const leases = gauge('leases', 'Leases that were granted here and are not known to have ended.');
  const inFlight = gauge('requests_in_flight', 'Requests that are not answered yet.');
  const bytes = gauge('request_bytes_in_flight', 'Bytes of requests that are not answered yet.');
  return (portal, { connections, held }) => {
    open(connections, { portal });
    signedIn(held.connections, { portal });
    streams(held.streams, { portal });
    watches(held.watches, { portal });
    leases(held.leases, { portal });
    inFlight(held.requests, { portal });
    bytes(held.requestBytes, { portal });
  };
}

function calls(exposition: Exposition): Writer {
  const requests = exposition.counter(
    'compose_etcd_portal_requests_total',
    "Calls of tenants that ended, by call and gRPC's code.",
  );
  const durations = exposition.histogram(
    'compose_etcd_portal_request_duration_seconds',
    'How long calls took from the whole request to the answer, streams left out.',
    BUCKETS,
  );
  const refusals = exposition.counter(
    'compose_etcd_portal_refusals_total',
    'What was refused by a limit of the tenant or of the portal, by limit.',
  );
  return (portal, snapshot) => {
    for (const { call, codes, buckets, seconds } of snapshot.calls) {
      for (const [code, count] of new Map([[0, 0], ...codes])) {
        requests(count, { portal, call, code: Code[code] ?? String(code) });
      }
      if (!STREAMS.has(call)) {
        durations(buckets, seconds, { portal, call });
      }
    }
    const known: [string, number][] = LIMITS.map((limit) => [limit, 0]);
    for (const [limit, count] of new Map([...known, ...snapshot.refusals])) {
      refusals(count, { portal, limit });
    }
  };
}

function instances(exposition: Exposition): Writer {
  const name = (rest: string) => `compose_etcd_instance_${rest}`;
  const requests = exposition.counter(name('requests_total'), 'Calls of an instance’s tenants that ended.');
  const received = exposition.counter(name('received_bytes_total'), 'Bytes of messages from the tenants.');
  const sent = exposition.counter(name('sent_bytes_total'), 'Bytes of messages to the tenants.');
  const open = exposition.gauge(name('connections'), 'Open connections of the instance’s tenants.');
  const streams = exposition.gauge(name('streams'), 'Open streams of the instance’s tenants.');
  const stored = exposition.gauge(
    name('stored_bytes'),
    'Bytes of keys and values as each portal counts them: take the maximum over portals.',
  );
  const quota = exposition.gauge(
    name('quota_bytes'),
    'Bytes that the plan allows: take the maximum over portals.',
  );
  const history = exposition.gauge(
    name('history_bytes'),
    'Bytes written since the last compaction: take the maximum over portals.',
  );
  return (portal, snapshot) => {
    for (const { instance, ...one } of snapshot.instances) {
      const labels = { portal, deployment: instance };
      requests(one.requests, labels);
      received(one.received, labels);
      sent(one.sent, labels);
      open(one.connections, labels);
      streams(one.streams, labels);
      stored(one.stored, labels);
      quota(one.quota, labels);
      history(one.history, labels);
    }
  };
}

function expiry(exposition: Exposition): Writer {
  const gauge = exposition.gauge(
    'compose_etcd_portal_certificate_expiry_timestamp_seconds',
    'When the portal’s certificate expires, in seconds since 1970.',
  );
  return (portal, { certificateExpiry }) => {
    if (certificateExpiry !== undefined) {
      gauge(certificateExpiry / 1_000, { portal });
    }
  };
}
