import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  type Bound,
  endpointsOf,
  etcdctlLine,
  kubernetesSecret,
  shellExports,
} from '../../../src/cli/bind/forms.js';
import { bindingIdOf, instanceIdOf, uuid5 } from '../../../src/cli/bind/ids.js';
import { bindOptions } from '../../../src/cli/bind/options.js';

const PEM = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
const bound: Bound = {
  name: 'my-etcd',
  binding: 'default',
  service: { name: 'compose-for-etcd', tags: ['etcd'] },
  plan: "Bob's plan",
  credentials: {
    uri: 'https://user:pass@one.example.com:443',
    uri_direct_1: 'https://user:pass@[::1]:2379',
    username: 'user',
    password: 'pass',
    ca_certificate_base64: Buffer.from(PEM).toString('base64'),
  },
};

describe('The ids that bind derives', () => {
  it('are version 5 UUIDs', () => {
    // RFC 9562, "Example of a UUIDv5 Value": the name www.example.com in the name space of DNS.
    const DNS = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
    assert.equal(uuid5(DNS, 'www.example.com'), '2ed6657d-e927-568b-95e1-2665a8aea6a2');
  });

  it('are the same for the same names, and differ for others', () => {
    assert.equal(instanceIdOf('a'), instanceIdOf('a'));
    const ids = [
      instanceIdOf('a'),
      instanceIdOf('b'),
      ...['a', 'b'].flatMap((name) => ['x', 'y'].map((each) => bindingIdOf(instanceIdOf(name), each))),
    ];
    assert.equal(new Set(ids).size, ids.length);
  });
});

describe('The options of bind', () => {
  it('have defaults', () => {
    assert.deepEqual(bindOptions(['my-etcd']), {
      name: 'my-etcd',
      binding: 'default',
      action: 'bind',
      form: 'json',
      parameters: {},
    });
  });

  it('become parameters of the request', () => {
    const args = 'x --key-space words --access readonly --expires-in 30m --plan Standard --binding b'.split(
      ' ',
    );
    const options = bindOptions(args);
    assert.deepEqual(options?.parameters, { key_space: 'words', access: 'readonly', expires_in: '30m' });
    assert.equal(options?.plan, 'Standard');
    assert.equal(options?.binding, 'b');
  });

  it('are refused with what is wrong', () => {
    for (const [line, reason] of [
      ['', /needs the name/],
      ['a b', /"b" is one argument too many/],
      ['My_Etcd', /The name must have lower-case/],
      ['../x', /The name must have/],
      ['x --binding -', /binding/],
      ['x --output yaml', /--output must be one of json, shell, etcdctl, secret/],
      ['x --ca-file y', /--ca-file belongs to/],
      ['x --delete --access readonly', /A deletion takes no other option/],
      ['x --no-such', /no-such/],
    ] as const) {
      assert.throws(() => bindOptions(line === '' ? [] : line.split(' ')), reason, line);
    }
  });
});

describe('The forms of credentials', () => {
  it('name all portals, with ports that are the usual ones', () => {
    assert.deepEqual(endpointsOf(bound.credentials), ['https://one.example.com:443', 'https://[::1]:2379']);
  });

  it('are what a shell takes', () => {
    const script = `${shellExports(bound, "/a folder/it's.pem")}printf '%s\\n' "$VCAP_SERVICES" "$ETCDCTL_USER" "$ETCDCTL_CACERT"`;
    const [services, user, caFile] = execFileSync('sh', ['-c', script], { env: { PATH: process.env.PATH } })
      .toString()
      .split('\n');
    const [entry] = JSON.parse(services as string)['compose-for-etcd'];
    assert.deepEqual(entry, {
      name: 'my-etcd',
      label: 'compose-for-etcd',
      tags: ['etcd'],
      plan: "Bob's plan",
      credentials: bound.credentials,
    });
    assert.equal(user, 'user:pass');
    assert.equal(caFile, "/a folder/it's.pem");
  });

  it('name no authority where the portals have a public one', () => {
    const { ca_certificate_base64: _, ...credentials } = bound.credentials;
    assert.ok(!etcdctlLine({ ...bound, credentials }, undefined).includes('CACERT'));
    assert.ok(!kubernetesSecret({ ...bound, credentials }).includes('certificates'));
  });

  it('are a Secret with the well-known entries', () => {
    const text = kubernetesSecret({ ...bound, binding: 'other' });
    assert.match(text, /^ {2}name: my-etcd-other$/m);
    assert.match(text, /^type: servicebinding\.io\/etcd$/m);
    const data = text.slice(text.indexOf('data:\n') + 6).matchAll(/^ {2}(\w+): "(.*)"$/gm);
    const entries = [...data].map(([, name, value]) => [name, Buffer.from(value ?? '', 'base64').toString()]);
    assert.deepEqual(Object.fromEntries(entries), {
      type: 'etcd',
      provider: 'compose-etcd-broker',
      host: 'one.example.com',
      port: '443',
      username: 'user',
      password: 'pass',
      certificates: PEM,
      uri: 'https://user:pass@one.example.com:443',
      endpoints: 'https://one.example.com:443,https://[::1]:2379',
    });
  });
});
