import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Etcd3 } from 'etcd3';
import { unpackDebianPackage } from '../../src/embedded/debian-package.js';
import { runCommand } from '../../src/embedded/run-command.js';
import { startTestBroker, type TestBroker } from '../support/broker.js';
import { connect } from '../support/tenant.js';
import { PROJECT } from './support/folders.js';

const ALERTS = path.join(PROJECT, 'deploy/prometheus');
const CACHE = path.join(PROJECT, '.cache', 'promtool');
const TIMEOUT_MS = 30_000;
const NAME = /\bcompose_etcd_[a-z_]+/g;
/** What a histogram's or counter's series end with. */
const SUFFIX = /_(bucket|sum|count)$/;

describe('Metrics, alerts and the dashboard', () => {
  let broker: TestBroker;
  let client: Etcd3 | undefined;
  let types: Map<string, string>;
  let text: string;

  before(async () => {
    broker = await startTestBroker({ PORTAL: 'on' });
    await broker.provision('i');
    const { credentials } = (await broker.bind('i', 'b')).body;
    client = connect(credentials, credentials.uri);
    await client.put('k').value('value');
    text = (await broker.send('GET', '/metrics')).text;
    types = new Map(
      [...text.matchAll(/^# TYPE (compose_etcd_\S+) (\w+)$/gm)].map(([, name = '', type = '']) => [
        name,
        type,
      ]),
    );
  });
  after(async () => {
    client?.close();
    await broker?.dispose();
  });

  const used = (of: string) => new Set([...of.matchAll(NAME)].map(([name]) => name.replace(SUFFIX, '')));

  it('tell what a tenant does, by call and by instance', () => {
    const deployment = deploymentIn(text);
    assert.match(text, /^compose_etcd_portal_requests_total\{portal="portal-1",call="Put",code="OK"\} 1$/m);
    assert.match(
      text,
      /^compose_etcd_portal_request_duration_seconds_count\{portal="portal-1",call="Put"\} 1$/m,
    );
    const of = (name: string) =>
      Number(
        new RegExp(`^${name}\\{portal="portal-1",deployment="${deployment}"\\} (\\d+)$`, 'm').exec(text)?.[1],
      );
    assert.equal(of('compose_etcd_instance_requests_total'), 1);
    assert.ok(of('compose_etcd_instance_received_bytes_total') >= 'kvalue'.length);
    assert.ok(of('compose_etcd_instance_stored_bytes') >= 'kvalue'.length);
    assert.equal(of('compose_etcd_instance_quota_bytes'), 256 * 1024 ** 2);
    assert.match(text, /^compose_etcd_portal_refusals_total\{portal="portal-2",limit="stored bytes"\} 0$/m);
  });

  it('are all in docs/metrics.md, and nothing else is', async () => {
    const page = await readFile(path.join(PROJECT, 'docs/metrics.md'), 'utf8');
    const rows = page.split('\n').filter((line) => line.startsWith('| `'));
    const documented = new Map<string, string>();
    for (const row of rows) {
      const [, names = '', type = ''] = row.split('|');
      for (const [name] of names.matchAll(NAME)) {
        documented.set(name, type.trim());
      }
    }
    assert.deepEqual([...documented].sort(), [...types].sort());
  });

  it('are named as Prometheus advises', () => {
    for (const [name, type] of types) {
      assert.equal(name.endsWith('_total'), type === 'counter', name);
      assert.ok(type !== 'histogram' || name.endsWith('_seconds'), name);
    }
    // Prometheus sets these itself, and renames what has them already.
    assert.doesNotMatch(text, /^[^#\n]*[{,](job|instance)="/m);
    assert.deepEqual(
      [...text.matchAll(/^# TYPE (\S+)/gm)]
        .map(([, name]) => name as string)
        .filter((name) => !/^(compose_etcd|nodejs|process)_/.test(name)),
      [],
    );
  });

  it('are what alerts and dashboard ask for', async () => {
    const alerts = await readFile(path.join(ALERTS, 'alerts.yml'), 'utf8');
    const dashboard = JSON.parse(await readFile(path.join(PROJECT, 'deploy/grafana/dashboard.json'), 'utf8'));
    const panels = dashboard.panels as { title: string; targets: { expr: string }[] }[];
    assert.ok(panels.length > 10);
    for (const { title, targets } of panels) {
      assert.ok(targets.length > 0, title);
    }
    const queries = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)).join('\n');
    for (const name of [...used(alerts), ...used(queries)]) {
      assert.ok(types.has(name), `${name} is not in /metrics`);
    }
  });

  it('alerts are good rules, and fire when they should', async function () {
    this.timeout(120_000);
    const promtool = await promtoolProgram().catch((error: Error) => {
      console.log(`      promtool can't be had here, so the alerts are not tried: ${error.message}`);
      this.skip();
    });
    const run = (...args: string[]) =>
      runCommand(promtool as string, args, { timeoutMs: TIMEOUT_MS, cwd: ALERTS });
    assert.match(await run('check', 'rules', 'alerts.yml'), /SUCCESS: 13 rules found/);
    assert.match(await run('test', 'rules', 'alerts.test.yml'), /SUCCESS/);
  });
});

/** The deployment that the text tells of. */
function deploymentIn(text: string): string | undefined {
  return /^compose_etcd_instance_requests_total\{portal="portal-1",deployment="([0-9a-f]{24})"\}/m.exec(
    text,
  )?.[1];
}

/** Debian's promtool, from its package `prometheus`, unpacked into `.cache/` without being installed. */
async function promtoolProgram(): Promise<string> {
  const [version] = await readdir(CACHE).catch(() => []);
  if (version !== undefined && /^\d/.test(version)) {
    return path.join(CACHE, version, 'promtool');
  }
  return unpackDebianPackage({
    packageName: 'prometheus',
    program: 'promtool',
    cacheDir: CACHE,
    onProgress: (line) => console.log(`      ${line}`),
  });
}
