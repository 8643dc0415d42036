// `npm run demo`: the whole story on a broker of its own, unattended, in a few seconds. With `-- --keep` an example
// application then runs on that broker until Ctrl-C.
import { randomUUID } from 'node:crypto';
import type { Etcd3 } from 'etcd3';
import { type BrokerProcess, brokerProcess } from './support/broker-process.js';
import { ExampleApplication } from './support/example.js';
import { type Credentials, connect } from './support/tenant.js';

const startedAt = performance.now();
const clients: Etcd3[] = [];
let step = 'make a folder';

/** Says what was done and how long it took. Nothing that is said holds a password. */
async function timed<T>(what: string, action: () => Promise<T>): Promise<T> {
  step = what;
  const begunAt = performance.now();
  const result = await action();
  const milliseconds = Math.round(performance.now() - begunAt);
  console.log(`${String(milliseconds).padStart(6)} ms  ${what}`);
  return result;
}

function expect(isSo: boolean, otherwise: string): void {
  if (!isSo) {
    throw new Error(otherwise);
  }
}

function open(credentials: Credentials): Etcd3 {
  const client = connect(credentials, credentials.uri);
  clients.push(client);
  return client;
}

async function isRefused(call: Promise<unknown>, reason: RegExp): Promise<void> {
  const error = await call.then(
    () => undefined,
    (refusal: Error) => refusal,
  );
  expect(error !== undefined, 'etcd allowed it');
  expect(reason.test((error as Error).message), `etcd refused it for another reason: ${error?.message}`);
}

async function story(broker: BrokerProcess): Promise<void> {
  const instance = randomUUID();
  const bind = async (binding: string, parameters: Record<string, string>): Promise<Credentials> => {
    const { status, body } = await broker.bind(instance, binding, { parameters });
    expect(status === 201, `the broker answered ${status}: ${body?.description}`);
    return body.credentials;
  };

  await timed('start the broker and its etcd', () => broker.start());
  await timed('look at the catalog', async () => {
    const { status, body } = await broker.send('GET', '/v2/catalog');
    expect(status === 200 && body.services.length > 0, `the broker answered ${status}`);
  });
  await timed('create a service instance', async () => {
    const { status } = await broker.provision(instance);
    expect(status === 201, `the broker answered ${status}`);
  });
  const one = await timed('bind the application "one"', () => bind('one', { key_space: 'one' }));
  const two = await timed('bind the application "two"', () => bind('two', {}));
  const [clientOne, clientTwo] = [open(one), open(two)];
  const KEY = '/example/words/hello';
  for (const [name, client] of [
    ['one', clientOne],
    ['two', clientTwo],
  ] as const) {
    await timed(`"${name}" finds no key, and writes ${KEY}`, async () => {
      expect((await client.getAll().count()) === 0, 'its etcd was not empty');
      await client.put(KEY).value(`hello from ${name}`);
    });
  }
  const DENIED = /permission denied/;
  await timed('both read the same name, and each its own value', async () => {
    expect((await clientOne.get(KEY).string()) === 'hello from one', '"one" read what it did not write');
    expect((await clientTwo.get(KEY).string()) === 'hello from two', '"two" read what it did not write');
  });
  await timed('"two" deletes every key there is: "one" still has its own', async () => {
    await clientTwo.delete().all();
    expect((await clientOne.get(KEY).string()) === 'hello from one', 'the key of "one" is gone');
  });
  const reader = await timed('bind a read-only application to the keys of "one"', () =>
    bind('reader', { key_space: 'one', access: 'readonly' }),
  );
  await timed('it reads the key and is refused to write it', async () => {
    const client = open(reader);
    expect((await client.get(KEY).string()) === 'hello from one', 'it did not read the key');
    await isRefused(client.put(KEY).value('x').exec(), DENIED);
  });
  await timed('unbind "one": its credentials stop working', async () => {
    const { status } = await broker.unbind(instance, 'one');
    expect(status === 200, `the broker answered ${status}`);
    const REFUSED = /invalid auth token|invalid user ID or password|user name not found|permission denied/;
    await isRefused(clientOne.get(KEY).exec(), REFUSED);
    await isRefused(open(one).get(KEY).exec(), REFUSED);
  });
  await timed('delete the service instance, with what is left', async () => {
    const { status } = await broker.deprovision(instance);
    expect(status === 200, `the broker answered ${status}`);
    const again = await broker.deprovision(instance);
    expect(again.status === 410, `the instance is still there: the broker answered ${again.status}`);
  });
}

async function end(broker: BrokerProcess): Promise<void> {
  await timed('stop the broker and its etcd', async () => {
    const { code } = await broker.end('SIGTERM');
    expect(code === 0, `the broker ended with status ${code}`);
    expect((await broker.etcds()).length === 0, 'its etcd still runs');
  });
}

/** Shows a newcomer something, and resolves when the example ends: it gets Ctrl-C from the terminal as well. */
async function keep(broker: BrokerProcess): Promise<void> {
  const instance = randomUUID();
  await broker.provision(instance);
  const { status, body } = await broker.bind(instance, 'words');
  expect(status === 201, `the broker answered ${status}: ${body?.description}`);
  example = await timed('start the example application', () => ExampleApplication.start(body.credentials));
  console.log(`\nOpen ${example.url} in a browser. Its code is in examples/words. Ctrl-C ends all.`);
  step = 'run the example application';
  const code = await example.ended;
  expect(code === 0, `the example ended with status ${code}: ${example.output.trim()}`);
}

const wrong = process.argv.slice(2).find((argument) => argument !== '--keep');
if (wrong !== undefined) {
  console.error(`The demo does not know "${wrong}". Usage: npm run demo [-- --keep]`);
  process.exit(2);
}
const isKept = process.argv.includes('--keep');
let example: ExampleApplication | undefined;
const broker = await brokerProcess({ PORTAL: 'on' });
let cleaning: Promise<void> | undefined;
const cleanUp = async (): Promise<void> => {
  await example?.stop();
  for (const client of clients.splice(0)) {
    client.close();
  }
  cleaning ??= broker.dispose();
  return cleaning;
};
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    const isEnd = example !== undefined;
    if (!isEnd) {
      console.error(`Interrupted at: ${step}`);
    }
    await cleanUp();
    process.exit(isEnd ? 0 : 1);
  });
}
try {
  await story(broker);
  if (isKept) {
    await keep(broker);
  }
  await end(broker);
  console.log(`${String(Math.round(performance.now() - startedAt)).padStart(6)} ms  in all`);
} catch (error) {
  if (cleaning === undefined) {
    console.error(`Failed: ${step}: ${(error as Error).message}`);
  }
  process.exitCode = 1;
} finally {
  await cleanUp();
}
