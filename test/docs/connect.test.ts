import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { PASSWORD, startTestBroker, type TestBroker, USERNAME } from '../support/broker.js';
import { runCli } from '../support/cli.js';
import { pythonWithEtcd3 } from '../support/debian-python.js';
import { etcdctl } from '../support/etcd-versions.js';
import { asTenant, type Credentials } from '../support/tenant.js';
import { PROJECT, snippet } from './snippets.js';

const TIMEOUT_MS = 30_000;

/** The documents' programs are run as they stand, with a binding that has no keys yet. */
describe('The programs that the documents show', () => {
  let broker: TestBroker;
  /** In the project, so that Node finds its packages. */
  let folder: string;
  let credentials: Credentials;
  let exported: Record<string, string>;
  let count = 0;

  const run = async (program: string, args: string[], env: Record<string, string> = {}): Promise<string> => {
    const PATH = `${path.dirname(await etcdctl())}:${process.env.PATH}`;
    const options = { cwd: folder, env: { PATH, ...env }, timeout: TIMEOUT_MS };
    return (await promisify(execFile)(program, args, options)).stdout.trim();
  };
  const shell = (script: string, env = exported) => run('sh', ['-euc', script], env);
  const kept = () => asTenant(credentials, (client) => client.get('hello').string());

  before(async () => {
    await mkdir(path.join(PROJECT, '.cache'), { recursive: true });
    folder = await mkdtemp(path.join(PROJECT, '.cache', 'documents-'));
    broker = await startTestBroker({ PORTAL: 'on' });
  });
  beforeEach(async () => {
    count += 1;
    const bind = async (...args: string[]) => {
      const env = { BROKER_URL: broker.url, BROKER_USERNAME: USERNAME, BROKER_PASSWORD: PASSWORD };
      const { code, stdout, stderr } = await runCli(['bind', `instance-${count}`, ...args], env);
      assert.equal(code, 0, stderr);
      return stdout;
    };
    credentials = JSON.parse(await bind());
    const exports = await bind('--output', 'shell', '--ca-file', path.join(folder, 'authority.pem'));
    const names = ['VCAP_SERVICES', 'ETCDCTL_API', 'ETCDCTL_ENDPOINTS', 'ETCDCTL_USER', 'ETCDCTL_CACERT'];
    const values = await run('sh', [
      '-euc',
      `${exports}printf '%s\\n' ${names.map((name) => `"$${name}"`).join(' ')}`,
    ]);
    exported = Object.fromEntries(values.split('\n').map((value, index) => [names[index], value]));
  });
  after(async () => {
    await broker?.dispose();
    await rm(folder, { recursive: true, force: true });
  });

  it('Node.js', async () => {
    await writeFile(path.join(folder, 'hello.mjs'), await snippet('README.md', 'js'));
    assert.equal(await run(process.execPath, ['hello.mjs'], exported), 'world');
    assert.equal(await kept(), 'world');
  });

  it('Python', async function () {
    this.timeout(180_000); // the client is brought the first time
    let python: Awaited<ReturnType<typeof pythonWithEtcd3>>;
    try {
      python = await pythonWithEtcd3();
    } catch (error) {
      console.log(`The program in Python is not run: ${(error as Error).message}`);
      return this.skip();
    }
    await writeFile(path.join(folder, 'hello.py'), await snippet('README.md', 'python'));
    assert.equal(await run(python.program, ['hello.py'], { ...exported, ...python.env }), 'world');
    assert.equal(await kept(), 'world');
  });

  it('etcdctl', async () => {
    assert.equal(await shell(await snippet('README.md', 'sh etcdctl')), 'OK\nworld');
    assert.equal(await kept(), 'world');
  });

  it('curl', async () => {
    const answer = (await shell(await snippet('README.md', 'sh curl'))).split('}{').at(-1) ?? '';
    assert.match(answer, /"key":"aGVsbG8="/);
    assert.match(answer, /"value":"d29ybGQ="/);
    assert.equal(await kept(), 'world');
  });

  it('uri_cli with the authority', async () => {
    const script = (await snippet('docs/connect.md', 'sh uri_cli')).replace('$URI_CLI', credentials.uri_cli);
    assert.equal(await shell(script, { VCAP_SERVICES: exported.VCAP_SERVICES as string }), 'OK');
    assert.equal(await kept(), 'world');
  });

  it("the broker's API with curl", async () => {
    await mkdir(path.join(folder, 'data'));
    await writeFile(path.join(folder, 'data', 'broker-password'), PASSWORD);
    const script = (await snippet('docs/connect.md', 'sh broker'))
      .replace('AUTH="broker:', `AUTH="${USERNAME}:`)
      .replace('http://localhost:8080', broker.url);
    const answers = (await shell(script)).split('\n').map((line) => JSON.parse(line));
    assert.equal(answers.length, 5);
    assert.equal(answers[0].services.length, 1);
    assert.match(answers[2].credentials.uri, /^https:/);
    assert.deepEqual(answers.slice(3), [{}, {}]);
  });

  it('the example has a package of its own, whose versions are the ones that are tested', async () => {
    const read = async (name: string) => JSON.parse(await readFile(path.join(PROJECT, name), 'utf8'));
    const example = await read('examples/words/package.json');
    const { dependencies } = await read('package.json');
    for (const [name, version] of Object.entries(example.dependencies)) {
      assert.equal(version, dependencies[name], name);
    }
  });
});
