import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { openCertificates } from '../../src/embedded/certificates.js';
import { runCommand } from '../../src/embedded/run-command.js';
import { emptyFolder, PROJECT, remove } from './support/folders.js';
import { type Manifest, manifestsOf, validate } from './support/kubernetes.js';

const SECRET = 'apiVersion: v1\nkind: Secret\n';

interface Received {
  method: string | undefined;
  url: string | undefined;
  type: string | undefined;
  authorization: string | undefined;
  body: string;
}

describe('deploy/kubernetes/bind-job.yaml', () => {
  let manifests: Manifest[];
  let folder: string;
  let api: Server;
  let status: number;
  const received: Received[] = [];

  /** Does the second step of the Job, which writes the Secret, against an API server of the test. */
  const apply = async () => {
    const [container] = manifests[0].spec.template.spec.containers;
    const { port } = api.address() as AddressInfo;
    const step = (container.args[0] as string)
      .slice(container.args[0].indexOf('node -e'))
      .replace('/var/run/secrets/kubernetes.io/serviceaccount', folder)
      .replace('https://kubernetes.default.svc', `https://localhost:${port}`)
      .replace('/work/secret.yaml', path.join(folder, 'secret.yaml'));
    const env = { PATH: process.env.PATH, NAME: 'my-etcd', NODE_EXTRA_CA_CERTS: path.join(folder, 'ca.crt') };
    await runCommand(container.command[0], ['-euc', step], { env, timeoutMs: 20_000 });
  };

  before(async () => {
    manifests = manifestsOf(await readFile(path.join(PROJECT, 'deploy/kubernetes/bind-job.yaml'), 'utf8'));
    folder = await emptyFolder();
    const hosts = ['localhost'];
    const { caCertificate, file } = await openCertificates(path.join(folder, 'certificates'), [
      { name: 'server', subject: 'CN=api', use: 'server', hosts },
    ]);
    await writeFile(path.join(folder, 'ca.crt'), caCertificate);
    await writeFile(path.join(folder, 'namespace'), 'applications');
    await writeFile(path.join(folder, 'token'), 'the-token');
    await writeFile(path.join(folder, 'secret.yaml'), SECRET);
    const both = await readFile(file('server'));
    api = createServer({ cert: both, key: both }, (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { method, url, headers } = request;
        const body = Buffer.concat(chunks).toString('utf8');
        received.push({
          method,
          url,
          type: headers['content-type'],
          authorization: headers.authorization,
          body,
        });
        response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
        response.end('{"message":"secrets is forbidden"}');
      });
    });
    await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve));
  });
  after(async () => {
    await new Promise((resolve) => api?.close(resolve) ?? resolve(undefined));
    await remove(folder);
  });

  it("keeps to Kubernetes' schemas", async function () {
    this.timeout(240_000); // the schemas are brought the first time
    await validate(manifests);
  });

  it('writes the Secret, with a right to nothing else', async () => {
    status = 201;
    await apply();
    assert.deepEqual(received, [
      {
        method: 'PATCH',
        url: '/api/v1/namespaces/applications/secrets/my-etcd?fieldManager=compose-etcd-bind&force=true',
        type: 'application/apply-patch+yaml',
        authorization: 'Bearer the-token',
        body: SECRET,
      },
    ]);
    const role = manifests.find(({ kind }) => kind === 'Role');
    assert.deepEqual(role.rules, [{ apiGroups: [''], resources: ['secrets'], verbs: ['create', 'patch'] }]);
  });

  it('fails when it may not, so that the Job is tried again', async () => {
    status = 403;
    await assert.rejects(apply());
  });
});
