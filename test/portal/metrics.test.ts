import assert from 'node:assert/strict';
import { BUCKETS, CallTimes } from '../../src/portal/metrics/call-times.js';
import { portalMetrics } from '../../src/portal/metrics/prometheus.js';
import { OTHERS, type PortalSnapshot } from '../../src/portal/metrics/snapshot.js';
import { Tallies } from '../../src/portal/metrics/tallies.js';

const snapshot = (more: Partial<PortalSnapshot> = {}): PortalSnapshot => ({
  connections: 3,
  held: { connections: 2, streams: 1, watches: 1, leases: 0, requests: 0, requestBytes: 0 },
  calls: [],
  refusals: [],
  instances: [],
  certificateExpiry: undefined,
  ...more,
});

describe('What a portal counts', () => {
  it('calls by code, and their times in buckets that are not added up', () => {
    const times = new CallTimes(['Put']);
    times.observe('Put', 0, 0.0005);
    times.observe('Put', 0, 0.0006);
    times.observe('Put', 8, 100);
    const [put] = times.snapshot();
    assert.deepEqual(put?.codes, [
      [0, 2],
      [8, 1],
    ]);
    assert.deepEqual(put?.buckets, [1, 1, ...Array(BUCKETS.length - 2).fill(0), 1]);
  });

  it('the first instances by themselves and all others together, so that no counter ever falls', () => {
    const tallies = new Tallies(2);
    for (const name of ['a', 'b', 'c', 'd', 'a']) {
      tallies.use(name).ended('Put', 0, 0.001);
    }
    assert.deepEqual(
      [...tallies.own()].map(([name, { requests }]) => [name, requests]),
      [
        ['a', 2],
        ['b', 1],
      ],
    );
    assert.equal(tallies.others.requests, 2);
  });

  it('and tells it to Prometheus: buckets added up, codes by name, a portal that is silent as down', async () => {
    const buckets = [1, 1, ...Array(BUCKETS.length - 2).fill(0), 1];
    const told = snapshot({
      calls: [{ call: 'Put', codes: [[8, 1]], buckets, seconds: 100 }],
      refusals: [['stored bytes', 4]],
      certificateExpiry: 1_700_000_000_000,
    });
    const text = await portalMetrics([
      { name: 'portal-1', snapshot: told },
      { name: 'portal-2', snapshot: undefined },
    ]);
    for (const line of [
      'compose_etcd_portal_up{portal="portal-1"} 1',
      'compose_etcd_portal_up{portal="portal-2"} 0',
      'compose_etcd_portal_requests_total{portal="portal-1",call="Put",code="OK"} 0',
      'compose_etcd_portal_requests_total{portal="portal-1",call="Put",code="RESOURCE_EXHAUSTED"} 1',
      'compose_etcd_portal_request_duration_seconds_bucket{portal="portal-1",call="Put",le="0.001"} 2',
      'compose_etcd_portal_request_duration_seconds_bucket{portal="portal-1",call="Put",le="+Inf"} 3',
      'compose_etcd_portal_request_duration_seconds_count{portal="portal-1",call="Put"} 3',
      'compose_etcd_portal_refusals_total{portal="portal-1",limit="stored bytes"} 4',
      'compose_etcd_portal_refusals_total{portal="portal-1",limit="waiting"} 0',
      'compose_etcd_portal_certificate_expiry_timestamp_seconds{portal="portal-1"} 1700000000',
    ]) {
      assert.ok(text.split('\n').includes(line), `${line} is not in\n${text}`);
    }
    assert.equal(OTHERS, 'other');
  });
});
