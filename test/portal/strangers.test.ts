import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect as connectTls } from 'node:tls';
import { openCertificates } from '../../src/embedded/certificates.js';
import { fixedCertificate } from '../../src/portal/tls.js';
import { PortalHouse, until } from './support/portal.js';
import { RawClient } from './support/raw-client.js';

describe('Connections on which nobody has signed in', () => {
  let house: PortalHouse;
  const sockets: Socket[] = [];

  before(async () => {
    house = await PortalHouse.start({}, { mostStrangers: 5 });
  });
  afterEach(() => {
    for (const socket of sockets.splice(0)) {
      socket.destroy();
    }
  });
  after(() => house?.stop());

  /** So many that say nothing, one after the other. */
  const open = async (count: number, greet: (socket: Socket) => Promise<unknown> = async () => undefined) => {
    const opened: Socket[] = [];
    for (let index = 0; index < count; index += 1) {
      const socket = connect(house.running.port, '127.0.0.1').on('error', () => undefined);
      await new Promise((resolve) => socket.once('connect', resolve));
      sockets.push(socket);
      opened.push(socket);
      await greet(socket);
    }
    return opened;
  };
  const isOpen = (socket: Socket) => !socket.closed;

  it('are closed, the oldest first, when there are too many; tenants stay', async () => {
    const tenant = await RawClient.open(house.running.port, await house.bind('i', 'b'));
    const strangers = (await open(8)).map((socket) => socket.resume());
    await until(() => strangers.filter(isOpen).length === 5);
    assert.deepEqual(
      strangers.map(isOpen),
      Array.from({ length: 8 }, (_, index) => index >= 3),
    );
    await tenant.call('KV/Range', { key: Buffer.from('k') });
    tenant.close();
  });

  it('count with TLS too, before and after the handshake, and no more once they are closed', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'compose-etcd-broker-portal-'));
    try {
      const { caCertificate: ca, file } = await openCertificates(folder, [
        { name: 'server', subject: 'CN=portal', use: 'server', hosts: ['127.0.0.1'] },
      ]);
      const pem = await readFile(file('server'), 'utf8');
      await house.stopPortal();
      const certificate = fixedCertificate({ cert: pem, key: pem });
      await house.startPortal({ mostStrangers: 5, certificate });
      const greeted = await open(4, async (socket) => {
        const tls = connectTls({ socket, ca, host: '127.0.0.1', ALPNProtocols: ['h2'] });
        tls.on('error', () => undefined).resume();
        await new Promise((resolve) => tls.once('secureConnect', resolve));
      });
      const silent = (await open(2)).map((socket) => socket.resume());
      await until(() => !isOpen(greeted[0] as Socket));
      greeted[1]?.destroy();
      silent[0]?.destroy();
      await until(() => house.running.connections === 2);
      await open(2);
      await new Promise((resolve) => setTimeout(resolve, 100));
      assert.deepEqual(
        [greeted[2], greeted[3], silent[1]].map((socket) => isOpen(socket as Socket)),
        [true, true, true],
      );
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
