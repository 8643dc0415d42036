import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'yaml';
import { readConfig } from '../../src/config/config.js';
import type { Purpose } from '../../src/config/purpose.js';
import { PROJECT } from './support/folders.js';
import { manifestsOf } from './support/kubernetes.js';

type Settings = Record<string, string>;

const read = (name: string) => readFile(path.join(PROJECT, name), 'utf8');

/** @throws ConfigError for a setting that is wrong, or that is missing */
function assertTaken(env: Settings, purpose: Purpose): void {
  const config = readConfig(env, purpose);
  assert.equal(config.cluster.kind, 'external');
  assert.ok((config.portal?.endpoints.length ?? 0) >= 1);
}

describe('manifest.yml', () => {
  const variables = /\(\(([a-z0-9_]+)\)\)/g;

  it('has a variable for every secret, and vars.example.yml all variables and no others', async () => {
    const text = await read('manifest.yml');
    const used = new Set([...text.matchAll(variables)].map(([, name]) => name));
    assert.deepEqual(Object.keys(parse(await read('vars.example.yml'))).sort(), [...used].sort());
    for (const { env } of parse(text).applications) {
      for (const [name, value] of Object.entries(env as Settings)) {
        assert.equal(/PASSWORD|KEY$/.test(name), /^\(\(.*(password|key)\)\)$/.test(value), name);
      }
    }
    for (const ignore of ['.gitignore', '.cfignore']) {
      assert.ok((await read(ignore)).split('\n').includes('vars.yml'), ignore);
    }
  });

  it('gives broker and portal settings that they take', async () => {
    const values = parse(await read('vars.example.yml')) as Settings;
    const text = (await read('manifest.yml')).replace(variables, (_, name) => JSON.stringify(values[name]));
    const [broker, portal] = parse(text).applications;
    assertTaken({ ...broker.env, PORT: '8080' }, 'broker');
    assertTaken({ ...portal.env, PORTAL_LISTEN: '0.0.0.0:8080' }, 'portal');
    assert.equal(broker['readiness-health-check-http-endpoint'], '/ready');
    assert.ok(broker.instances >= 2 && portal.instances >= 2);
    assert.deepEqual(
      portal.routes.map(({ route }: { route: string }) => `https://${route}`),
      portal.env.PORTAL_ENDPOINTS.split(','),
    );
  });
});

describe('deploy/kubernetes', () => {
  it('gives broker and portal settings that they take', async () => {
    const manifests = manifestsOf(await read('deploy/kubernetes/compose-etcd.yaml'));
    // What the Secrets hold that docs/platforms.md makes.
    const secrets: Record<string, Settings> = {
      'compose-etcd-shared': { BROKER_ENCRYPTION_KEY: 'A'.repeat(43).concat('=') },
      'compose-etcd-broker': {
        BROKER_USERNAME: 'platform',
        BROKER_PASSWORD: 'a-long-password',
        ETCD_USERNAME: 'root',
        ETCD_PASSWORD: 'another-password',
      },
      'compose-etcd-portal': { PORTAL_ETCD_USERNAME: 'portal', PORTAL_ETCD_PASSWORD: 'a-third-password' },
    };
    for (const [component, purpose] of [
      ['broker', 'broker'],
      ['portal', 'portal'],
      ['portal-access', 'tools'],
    ] as const) {
      const [container] = manifests.find(
        ({ kind, metadata }) =>
          (kind === 'Deployment' || kind === 'Job') && metadata.name === `compose-etcd-${component}`,
      ).spec.template.spec.containers;
      const env: Settings = Object.assign(
        {},
        ...container.envFrom.map((from: { secretRef: { name: string } }) => secrets[from.secretRef.name]),
        ...container.env.map(({ name, value }: { name: string; value: string }) => ({ [name]: value })),
      );
      const { ETCD_CA_CERT: file, ...rest } = env;
      const mounts = container.volumeMounts.map(({ mountPath }: { mountPath: string }) => mountPath);
      assert.ok(mounts.includes(path.dirname(file as string)));
      assertTaken(rest, purpose);
    }
  });
});
