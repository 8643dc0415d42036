import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { runCommand } from '../../src/embedded/run-command.js';
import { PROJECT } from './support/folders.js';
import { type Manifest, manifestsOf, validate } from './support/kubernetes.js';
import { helm } from './support/tools.js';

const CHART = path.join(PROJECT, 'deploy/helm');
const TIMEOUT_MS = 30_000;
/** How long a broker and a portal take to stop at most, in seconds: docs/operating.md. */
const DRAIN_S = { broker: 20, portal: 8 } as const;

/** Every switch of the chart that adds something. */
const EVERYTHING = [
  'etcd.clientCertificateSecret=etcd-client',
  'catalogConfigMap=catalog',
  'portal.tlsSecret=portal-tls',
  'portal.caSecret=portal-ca',
  'portal.proxyProtocol=true',
  'portal.service.type=LoadBalancer',
  'broker.publicUrl=https://broker.example.com',
  'broker.trustProxy=10.0.0.0/8',
  'broker.env[0].name=ETCD_COMPACTION',
  'broker.env[0].value=1h',
  'broker.allowedFrom[0].podSelector.matchLabels.app=platform',
  'nodeSelector.zone=a',
  'imagePullSecrets[0].name=registry',
];

describe('deploy/helm', () => {
  let run: (...args: string[]) => Promise<string>;
  let manifests: Manifest[];
  const render = async (...settings: string[]) =>
    manifestsOf(
      await run('template', 'compose-etcd', CHART, ...settings.flatMap((setting) => ['--set', setting])),
    );
  const one = (kind: string, component: string) => {
    const found = manifests.filter(
      (manifest) =>
        manifest.kind === kind && manifest.metadata.labels['app.kubernetes.io/component'] === component,
    );
    assert.equal(found.length, 1, `${kind} of ${component}`);
    return found[0];
  };

  before(async function () {
    this.timeout(240_000); // the tools are brought the first time
    const program = await helm();
    if (program === undefined) {
      console.log('No Helm can be had for this machine: its chart is left out. Install helm to test it.');
      this.skip();
    }
    run = (...args) => runCommand(program, args, { timeoutMs: TIMEOUT_MS });
    manifests = await render();
  });

  it("passes Helm's linter", async () => {
    await run('lint', '--strict', CHART);
  });

  it('gives the manifests of deploy/kubernetes', async () => {
    const committed = await readFile(path.join(PROJECT, 'deploy/kubernetes/compose-etcd.yaml'), 'utf8');
    assert.deepEqual(manifestsOf(committed), manifests);
  });

  it("keeps to Kubernetes' schemas, with and without what is optional", async () => {
    await validate(manifests);
    await validate(await render(...EVERYTHING));
    await validate(
      await render('etcd.caSecret=', 'networkPolicy.enabled=false', 'podDisruptionBudget.enabled=false'),
    );
    const [first] = manifests;
    await assert.rejects(validate([{ ...first, spek: {} }]), /spek/);
    await assert.rejects(validate([{ ...one('Service', 'broker'), spec: { ports: 'http' } }]), /array/);
  });

  it('lets Prometheus read the metrics of brokers and portals, where it is asked for', async () => {
    const kinds = (of: Manifest[]) => of.map(({ kind }) => kind);
    assert.deepEqual(
      kinds(manifests).filter((kind) => /Monitor/.test(kind)),
      [],
    );
    const watched = await render(
      'serviceMonitor.enabled=true',
      'broker.allowedFrom[0].podSelector.matchLabels.app=platform',
    );
    const only = (wanted: string) => {
      const found = watched.filter(({ kind }) => kind === wanted);
      assert.equal(found.length, 1, wanted);
      return found[0].spec;
    };
    const broker = only('ServiceMonitor');
    assert.deepEqual(broker.selector.matchLabels, one('Service', 'broker').spec.selector);
    assert.equal(broker.endpoints[0].basicAuth.password.key, 'BROKER_PASSWORD');
    const portal = only('PodMonitor');
    const { matchLabels } = one('Deployment', 'portal').spec.selector;
    assert.deepEqual(portal.selector.matchLabels, matchLabels);

    const alerts = await readFile(path.join(PROJECT, 'deploy/prometheus/alerts.yml'), 'utf8');
    for (const [component, endpoint] of [
      ['broker', broker.endpoints[0]],
      ['portal', portal.podMetricsEndpoints[0]],
    ]) {
      const { ports } = one('Deployment', component).spec.template.spec.containers[0];
      const named = ports.map(({ name }: { name: string }) => name);
      assert.ok(named.includes(endpoint.port), component);
      assert.equal(endpoint.path, '/metrics');
      const [{ targetLabel, replacement }] = endpoint.relabelings;
      assert.equal(targetLabel, 'job');
      assert.ok(alerts.includes(`up{job="${replacement}"}`), replacement);
      const policies = watched.filter(
        ({ kind, metadata }) =>
          kind === 'NetworkPolicy' && metadata.labels['app.kubernetes.io/component'] === component,
      );
      const [, metrics] = policies[0].spec.ingress;
      assert.deepEqual(
        metrics.ports.map(({ port }: { port: string }) => port),
        [endpoint.port],
      );
      assert.ok(metrics.from.length > 0);
    }
    await validate(watched.filter(({ kind }) => kind === 'NetworkPolicy'));
    await assert.rejects(run('template', CHART, '--set', 'serviceMonitor.allowedFrom={}'), /allowedFrom/);
  });

  it('refuses values that lead nowhere', async () => {
    await assert.rejects(run('template', CHART, '--set', 'portal.endpoints='), /portal/);
    await assert.rejects(
      run('template', CHART, '--set', 'portal.endpoints=http://etcd.example.com:1'),
      /portal/,
    );
    await assert.rejects(run('template', CHART, '--set', 'broker.readinessPath=/'), /readinessPath/);
  });

  for (const component of ['broker', 'portal'] as const) {
    it(`runs several copies of the ${component}, restricted, with secrets by reference`, () => {
      const { spec } = one('Deployment', component);
      const pod = spec.template.spec;
      const [container] = pod.containers;
      assert.ok(spec.replicas >= 2);
      assert.deepEqual(spec.selector.matchLabels, one('Service', component).spec.selector);
      assert.deepEqual(
        spec.selector.matchLabels,
        one('PodDisruptionBudget', component).spec.selector.matchLabels,
      );
      assert.deepEqual(
        spec.selector.matchLabels,
        one('NetworkPolicy', component).spec.podSelector.matchLabels,
      );
      const waits = container.lifecycle.preStop.sleep.seconds;
      assert.ok(pod.terminationGracePeriodSeconds > waits + DRAIN_S[component]);
      // The "restricted" of the Pod Security Standards.
      assert.equal(pod.securityContext.runAsNonRoot, true);
      assert.equal(pod.securityContext.seccompProfile.type, 'RuntimeDefault');
      assert.equal(pod.automountServiceAccountToken, false);
      assert.deepEqual(container.securityContext, {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      const secret = /PASSWORD|KEY$|USERNAME/;
      assert.deepEqual(
        container.env.filter(({ name }: { name: string }) => secret.test(name)),
        [],
      );
      assert.equal(container.envFrom.length, 2);
      assert.equal(container.livenessProbe.httpGet?.path ?? '/health', '/health');
      assert.equal(container.readinessProbe.httpGet.path, component === 'broker' ? '/ready' : '/health');
    });
  }
});
