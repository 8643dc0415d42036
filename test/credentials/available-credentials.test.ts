import assert from 'node:assert/strict';
import {
  availableCredentials,
  deploymentName,
  endpointObjects,
} from '../../src/credentials/available-credentials.js';
import { Secret } from '../../src/credentials/secret.js';
import { startTestBroker } from '../support/broker.js';

const ACCESS = {
  instance_id: '9f2d8e1c-7d5e-4a58-a4a7-5f0c1f6b7a01',
  deployment_id: '0123456789abcdef01234567',
  username: 'd-0123456789abcdef01234567-0123456789abcdef',
  role: 'd-0123456789abcdef01234567-0123456789abcdef',
  key_prefix: '/d/0123456789abcdef01234567/_0123456789abcdef/',
  password: new Secret('Abc_def-123'),
};
const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
const service = (endpoints: string[], caCertificate?: string) => ({
  names: 'etcd' as const,
  endpoints,
  caCertificate,
  publicUrl: 'https://broker.example.com',
  region: 'eu-gb',
});
const TWO = ['https://one.example.com:2379', 'https://two.example.com:443'];

describe('Available credentials', () => {
  it('have the fields of Compose for etcd in their order, then four of our own', () => {
    const credentials = availableCredentials(service(TWO, PEM), ACCESS);
    assert.deepEqual(Object.entries(credentials), [
      ['db_type', 'etcd'],
      ['maps', []],
      [
        'instance_administration_api',
        {
          instance_id: ACCESS.instance_id,
          root: 'https://broker.example.com/api',
          deployment_id: ACCESS.deployment_id,
        },
      ],
      ['name', `bmix-eu-gb-yp-${ACCESS.instance_id}`],
      [
        'uri_cli',
        `ETCDCTL_API=3 etcdctl --endpoints=https://one.example.com:2379,https://two.example.com:443 --user=${ACCESS.username}:Abc_def-123`,
      ],
      ['uri_direct_1', `https://${ACCESS.username}:Abc_def-123@two.example.com:443`],
      ['ca_certificate_base64', Buffer.from(PEM).toString('base64')],
      ['deployment_id', ACCESS.deployment_id],
      ['uri', `https://${ACCESS.username}:Abc_def-123@one.example.com:2379`],
      ['username', ACCESS.username],
      ['password', 'Abc_def-123'],
      ['role', ACCESS.role],
      ['key_prefix', ACCESS.key_prefix],
    ]);
    const api = credentials.instance_administration_api as object;
    assert.deepEqual(Object.keys(api), ['instance_id', 'root', 'deployment_id']);
  });

  it('have no uri_direct_1 with one endpoint, and no certificate with a public authority', () => {
    const credentials = availableCredentials(service(['https://one.example.com:2379']), ACCESS);
    assert.equal('uri_direct_1' in credentials, false);
    assert.equal('ca_certificate_base64' in credentials, false);
  });

  it('name the second of three endpoints in uri_direct_1, and all of them in uri_cli', () => {
    const three = [...TWO, 'https://three.example.com:2379'];
    const credentials = availableCredentials(service(three), ACCESS);
    assert.match(String(credentials.uri_direct_1), /@two\.example\.com:443$/);
    assert.ok(String(credentials.uri_cli).includes(`--endpoints=${three.join(',')} `));
    assert.equal('uri_direct_2' in credentials, false);
  });

  it('are understood by the client that splits uri_cli on spaces', () => {
    const { uri_cli } = availableCredentials(service(TWO, PEM), ACCESS);
    const words = String(uri_cli).split(' ');
    assert.equal(words.length, 4);
    assert.deepEqual(words[2]?.split('=')[1]?.split(','), TWO);
    assert.deepEqual(words[3]?.split('=')[1]?.split(':'), [ACCESS.username, 'Abc_def-123']);
  });

  it('are understood by the client that takes uri apart as a URL', () => {
    const credentials = availableCredentials(service(TWO, PEM), ACCESS);
    const url = new URL(String(credentials.uri));
    assert.equal(url.origin, TWO[0]);
    assert.deepEqual([url.username, url.password], [ACCESS.username, 'Abc_def-123']);
    assert.equal(String(credentials.uri).endsWith('/'), false);
    const certificate = String(credentials.ca_certificate_base64);
    assert.match(certificate, /^[A-Za-z0-9+/]+=*$/, 'one line');
    assert.equal(Buffer.from(certificate, 'base64').toString(), PEM);
  });

  it('name instances of any id without breaking the line', () => {
    assert.equal(deploymentName('local', 'a b/"ё'), 'bmix-local-yp-a%20b%2F%22%D1%91');
  });

  it('rule 19: endpoints list every host and port, and the ports are texts', () => {
    assert.deepEqual(endpointObjects([...TWO, 'http://[::1]:2379']), [
      { host: 'one.example.com', ports: ['2379'], protocol: 'tcp' },
      { host: 'two.example.com', ports: ['443'], protocol: 'tcp' },
      { host: '::1', ports: ['2379'], protocol: 'tcp' },
    ]);
  });

  it('of a real broker have names and passwords that need no quoting anywhere', async () => {
    const broker = await startTestBroker({
      ETCD_ADVERTISED_ENDPOINTS: 'https://one.example.com:2379,https://two.example.com:2379',
    });
    try {
      await broker.provision('i');
      for (const id of ['a', 'b', 'c', 'd', 'e']) {
        const { credentials, endpoints } = (await broker.bind('i', id)).body;
        assert.match(credentials.username, /^[A-Za-z0-9_-]+$/);
        assert.match(credentials.password, /^[A-Za-z0-9_-]{32}$/);
        assert.equal(credentials.uri_cli.split(' ').length, 4);
        assert.equal(new URL(credentials.uri_direct_1).hostname, 'two.example.com');
        assert.equal(endpoints.length, 2);
        assert.match(credentials.deployment_id, /^[0-9a-f]{24}$/);
      }
    } finally {
      await broker.dispose();
    }
  });
});
