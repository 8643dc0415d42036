import assert from 'node:assert/strict';
import { services } from '../../../src/etcd/messages/services.js';
import { calls } from '../../../src/portal/table/calls.js';
import { fields } from '../../../src/portal/table/fields.js';
import { callsByPath } from '../../../src/portal/table/lookup.js';
import { messageRule } from '../../../src/portal/table/rules.js';
import { definitionOf, isMessage } from '../protobuf.js';

const kinds: { readonly [message: string]: { readonly [field: string]: string } } = fields;

/** The messages that can be met from these. */
function reachable(names: Iterable<string>): Set<string> {
  const all = new Set<string>();
  const visit = (name: string): void => {
    if (all.has(name)) return;
    all.add(name);
    for (const [, type] of Object.values(definitionOf(name))) if (isMessage(type)) visit(type);
  };
  for (const name of names) visit(name);
  return all;
}

const allowed = [...callsByPath.values()].flatMap((call) => (call.handling === 'denied' ? [] : [call]));

describe('the table of calls', () => {
  it('names every call of etcd’s API and no other', () => {
    const paths = Object.entries(services).flatMap(([service, all]) =>
      Object.keys(all).map((name) => `/${service}/${name}`),
    );
    assert.deepEqual([...callsByPath.keys()].sort(), paths.sort());
    for (const [service, all] of Object.entries(services))
      assert.deepEqual(Object.keys(calls[service as keyof typeof services]), Object.keys(all));
  });

  it('allows these calls and no other', () => {
    const names: { [handling: string]: string[] } = {};
    for (const call of allowed) names[call.handling] = [...(names[call.handling] ?? []), call.name].sort();
    assert.deepEqual(names, {
      forward: [
        'Campaign',
        'DeleteRange',
        'Leader',
        'LeaseGrant',
        'LeaseRevoke',
        'LeaseTimeToLive',
        'Lock',
        'Proclaim',
        'Put',
        'Range',
        'Resign',
        'Txn',
        'Unlock',
      ],
      'range stream': ['RangeStream'],
      watch: ['Watch'],
      'keep alive': ['LeaseKeepAlive'],
      observe: ['Observe'],
      local: ['Alarm', 'AuthStatus', 'Authenticate', 'Compact', 'LeaseLeases', 'MemberList', 'Status'],
    });
  });

  it('counts as reads only what changes nothing', () => {
    const reads = allowed.filter((call) => call.writes === 'no').map((call) => call.name);
    assert.deepEqual(reads.sort(), [
      'Alarm',
      'AuthStatus',
      'Authenticate',
      'Leader',
      'LeaseLeases',
      'LeaseTimeToLive',
      'MemberList',
      'Observe',
      'Range',
      'RangeStream',
      'Status',
      'Watch',
    ]);
    assert.deepEqual(
      allowed.filter((call) => call.writes === 'by content').map((call) => call.name),
      ['Txn'],
    );
  });

  it('finds calls by their exact path only', () => {
    for (const path of [
      'etcdserverpb.KV/Range',
      '/etcdserverpb.KV/range',
      '//etcdserverpb.KV/Range',
      '/',
      '',
    ])
      assert.equal(callsByPath.get(path), undefined);
  });

  it('holds the messages that go with a call', () => {
    const call = callsByPath.get('/v3electionpb.Election/Observe');
    assert(call?.handling === 'observe');
    assert.equal(call.kind, 'server stream');
    assert.equal(call.request.name, 'LeaderRequest');
    assert.equal(call.response.name, 'LeaderResponse');
  });
});

describe('the table of fields', () => {
  const needed = reachable(allowed.flatMap((call) => [call.request.name, call.response.name]));

  it('names every message that can be met from an allowed call, and no other', () => {
    assert.deepEqual(Object.keys(fields).sort(), [...needed].sort());
  });

  it('has a kind for every field of each', () => {
    for (const name of needed)
      assert.deepEqual(Object.keys(kinds[name] ?? {}).sort(), Object.keys(definitionOf(name)).sort(), name);
  });

  it('calls no field plain whose name says that it is a key, a range or a lease', () => {
    const plain = [...needed].flatMap((name) =>
      Object.entries(kinds[name] ?? {}).flatMap(([field, kind]) =>
        kind === 'plain' ? [`${name}.${field}`] : [],
      ),
    );
    const suspect = plain.filter((field) => /\.(key|keys|range_end|lease|ID|.*revision|name)$/.test(field));
    assert.deepEqual(suspect.sort(), [
      'AuthenticateRequest.name',
      'CompactionRequest.revision',
      'Compare.create_revision',
      'Compare.mod_revision',
      'KeyValue.create_revision',
      'KeyValue.mod_revision',
      'LeaseTimeToLiveRequest.keys',
      'Member.ID',
      'Member.name',
      'RangeRequest.max_create_revision',
      'RangeRequest.max_mod_revision',
      'RangeRequest.min_create_revision',
      'RangeRequest.min_mod_revision',
      'ResponseHeader.revision',
      'WatchResponse.compact_revision',
    ]);
  });

  it('has one slot for each field and keeps them apart', () => {
    for (const name of needed) {
      const rule = messageRule(name, 'request');
      const numbers = Object.values(definitionOf(name)).map(([number]) => number);
      assert.equal(rule.ops.filter((op) => op !== 0).length, numbers.length, name);
      assert.equal(rule.ops[32], 0);
      if (!numbers.includes(64)) assert.equal(rule.ops[0], 0);
    }
  });

  it('has no rule for a message of a denied call', () => {
    for (const name of ['AuthUserAddRequest', 'SnapshotResponse', 'toString'])
      assert.throws(() => messageRule(name, 'request'), /lacks/);
  });
});
