import assert from 'node:assert/strict';
import { runCli } from '../../support/cli.js';
import { freePorts } from '../../support/operator-etcd.js';
import { PortalProcess } from '../../support/portal-process.js';
import type { Credentials } from '../../support/tenant.js';
import { BrokerProcess } from './broker-process.js';
import type { TestCluster } from './cluster.js';

/** A broker and two portals, each a process, on a cluster that outlives them. */
export class ProcessHouse {
  readonly #portals: (PortalProcess | undefined)[] = [];

  private constructor(
    readonly broker: BrokerProcess,
    readonly ports: readonly number[],
    readonly portalEnv: Record<string, string>,
  ) {}

  static async start(cluster: TestCluster): Promise<ProcessHouse> {
    const ports = await freePorts(2);
    const endpoints = ports.map((port) => `https://localhost:${port}`).join(',');
    const env: Record<string, string> = { ...cluster.env(), PORTAL: 'on', PORTAL_ENDPOINTS: endpoints };
    const login = { BROKER_USERNAME: 'platform', BROKER_PASSWORD: 'a-long-password' };
    const made = await runCli(['portal-access', '--json'], { ...env, ...login });
    assert.equal(made.code, 0, made.stderr);
    const { username, password } = JSON.parse(made.stdout);
    const { ETCD_USERNAME: _user, ETCD_PASSWORD: _password, ...rest } = env;
    const portalEnv = { ...rest, PORTAL_ETCD_USERNAME: username, PORTAL_ETCD_PASSWORD: password };
    const house = new ProcessHouse(new BrokerProcess({ env }), ports, portalEnv);
    try {
      await house.broker.start();
      await Promise.all(ports.map((_, index) => house.startPortal(index)));
      return house;
    } catch (error) {
      await house.stop();
      throw error;
    }
  }

  async startPortal(index: number): Promise<void> {
    const listen = `127.0.0.1:${this.ports[index]}`;
    this.#portals[index] = await PortalProcess.start({ ...this.portalEnv, PORTAL_LISTEN: listen });
  }

  pidOf(index: number): number {
    return this.#portals[index]?.child.pid as number;
  }

  async endPortal(index: number, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    await this.#portals[index]?.end(signal);
  }

  async bind(instance: string, binding: string): Promise<Credentials> {
    await this.broker.provision(instance);
    const reply = await this.broker.bind(instance, binding);
    assert.equal(reply.status, 201, reply.text);
    return reply.body.credentials;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#portals.map((portal) => portal?.end('SIGKILL')));
    await this.broker.dispose();
  }
}
