import { rm } from 'node:fs/promises';
import path from 'node:path';
import { type GuardedProcess, startGuarded } from '../../../src/embedded/guardian.js';
import { runCommand } from '../../../src/embedded/run-command.js';
import { freePorts } from '../../support/operator-etcd.js';

const TIMEOUT_MS = 20_000;

interface Member {
  readonly name: string;
  readonly dataDir: string;
  readonly clientUrl: string;
  readonly peerUrl: string;
  process?: GuardedProcess;
}

/** Three members that an operator runs with the commands of docs/operating.md. On loopback, so without TLS. */
export class MemberCluster {
  #token = '';
  readonly #members: Member[];

  private constructor(
    readonly etcd: string,
    readonly etcdctl: string,
    members: Member[],
  ) {
    this.#members = members;
  }

  static async plan(folder: string, etcd: string, etcdctl: string): Promise<MemberCluster> {
    const ports = await freePorts(6);
    const members = [0, 1, 2].map((index) => ({
      name: `etcd-${index + 1}`,
      dataDir: path.join(folder, `etcd-${index + 1}`),
      clientUrl: `http://127.0.0.1:${ports[2 * index]}`,
      peerUrl: `http://127.0.0.1:${ports[2 * index + 1]}`,
    }));
    return new MemberCluster(etcd, etcdctl, members);
  }

  get endpoints(): string {
    return this.#members.map(({ clientUrl }) => clientUrl).join(',');
  }

  /** Starts all members and waits until they answer, to who signs in with these options of etcdctl. */
  async start(token: string, ...signIn: string[]): Promise<void> {
    this.#token = token;
    await Promise.all(
      this.#members.map(async (member) => {
        const { name, dataDir, clientUrl, peerUrl } = member;
        const args = [
          ...[
            `--name=${name}`,
            `--data-dir=${dataDir}`,
            '--bcrypt-cost=4',
            '--log-level=error',
            '--logger=zap',
          ],
          ...[`--listen-client-urls=${clientUrl}`, `--advertise-client-urls=${clientUrl}`],
          ...[`--listen-peer-urls=${peerUrl}`, ...this.#membership(member), '--initial-cluster-state=new'],
        ];
        member.process = await startGuarded(this.etcd, args, () => undefined);
      }),
    );
    await this.control(...signIn, 'endpoint', 'health');
  }

  /** Kills all members and deletes what they kept. */
  async lose(): Promise<void> {
    await this.stop();
    await Promise.all(this.#members.map(({ dataDir }) => rm(dataDir, { recursive: true })));
  }

  async stop(): Promise<void> {
    for (const { process } of this.#members) {
      process?.kill('SIGKILL');
      await process?.exited;
    }
  }

  /** Makes each member's data anew from a snapshot, as a cluster with another token. */
  async restore(snapshot: string, token: string, tool: string, ...options: string[]): Promise<void> {
    this.#token = token;
    for (const member of this.#members) {
      const own = [`--name=${member.name}`, `--data-dir=${member.dataDir}`, ...this.#membership(member)];
      await this.#run(tool, 'snapshot', 'restore', snapshot, ...own, ...options);
    }
  }

  /** Runs etcdctl on all members. @returns what it printed */
  control(...words: string[]): Promise<string> {
    return this.#run(this.etcdctl, `--endpoints=${this.endpoints}`, ...words);
  }

  /** Runs etcdctl on one member: a snapshot is one member's. */
  controlOne(...words: string[]): Promise<string> {
    return this.#run(this.etcdctl, `--endpoints=${this.#members[0]?.clientUrl}`, ...words);
  }

  #membership({ peerUrl }: Member): string[] {
    const all = this.#members.map(({ name, peerUrl: url }) => `${name}=${url}`).join(',');
    return [
      `--initial-cluster=${all}`,
      `--initial-cluster-token=${this.#token}`,
      `--initial-advertise-peer-urls=${peerUrl}`,
    ];
  }

  #run(program: string, ...words: string[]): Promise<string> {
    return runCommand(program, words, { env: { ETCDCTL_API: '3' }, timeoutMs: TIMEOUT_MS });
  }
}
