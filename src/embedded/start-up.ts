import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { EtcdError } from '../etcd/errors.js';
import { enableAuthentication, type RootAccess } from './authentication.js';
import { poll } from './deadline.js';
import type { Member } from './member.js';

const POLL_MS = 20;

/**
 * Starts the members and waits until root can sign in.
 *
 * @param deadline milliseconds since 1970
 * @throws Error when a member ends, when the deadline passes (both with what etcd says), or when the cluster does not
 *   know the password
 */
export async function startMembers(
  members: readonly Member[],
  access: RootAccess,
  deadline: number,
): Promise<void> {
  // All of them must be settled before a failure is reported, or those still starting could not be stopped.
  const attempts = await Promise.allSettled(members.map((member) => member.start()));
  const started = attempts.map((attempt) => {
    if (attempt.status === 'rejected') {
      throw attempt.reason;
    }
    return attempt.value;
  });
  const deaths = started.map(async ({ exited }, index): Promise<never> => {
    const how = await exited;
    await sleep(50); // its last lines may still be on their way
    throw new Error(`etcd member ${members[index]?.name} ${how} while starting${complaints(members)}`);
  });
  const over = new AbortController();
  try {
    await Promise.race([...deaths, waitUntilReady(members, access, deadline, over.signal)]);
  } finally {
    over.abort();
  }
}

async function waitUntilReady(
  members: readonly Member[],
  access: RootAccess,
  deadline: number,
  over: AbortSignal,
): Promise<void> {
  const late = (cause?: unknown) =>
    new Error(`etcd did not become healthy in time${complaints(members)}`, { cause });
  for (const endpoint of access.endpoints) {
    const check = () => {
      over.throwIfAborted(); // a member has ended: nobody waits for the answer any more
      return serves(Number(new URL(endpoint).port), access, deadline);
    };
    if (!(await poll(check, deadline, POLL_MS))) {
      throw late();
    }
  }
  for (;;) {
    try {
      await enableAuthentication(access);
      return;
    } catch (error) {
      over.throwIfAborted();
      if (error instanceof EtcdError && error.kind === 'wrong-password') {
        throw new Error(
          "The cluster in DATA_DIR knows another root password than the file etcd-root-password: restore the file that belongs to the cluster's data",
          { cause: error },
        );
      }
      if (Date.now() + POLL_MS > deadline) {
        throw late(error);
      }
      if (!(error instanceof EtcdError && error.isTransient)) {
        throw error;
      }
      await sleep(POLL_MS);
    }
  }
}

// etcd opens its port early, but answers a TLS handshake only once the member takes requests.
async function serves(port: number, access: RootAccess, deadline: number): Promise<true | undefined> {
  const { caCertificate: ca, clientCertificate: cert, clientKey } = access;
  const client = cert === undefined || clientKey === undefined ? {} : { cert, key: clientKey.reveal() };
  return await new Promise((resolve) => {
    const timeout = Math.max(1, deadline - Date.now());
    const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca, ...client, timeout });
    socket.once('secureConnect', () => {
      socket.end(); // an end without a farewell would make etcd warn of it
      resolve(true);
    });
    socket.once('timeout', () => socket.destroy());
    socket.on('error', () => socket.destroy()); // refused: etcd has not opened it yet
    socket.once('close', () => resolve(undefined));
  });
}

function complaints(members: readonly Member[]): string {
  const lines = members.flatMap((member) => member.complaints);
  return lines.length === 0 ? '' : `: ${lines.join(' | ')}`;
}
