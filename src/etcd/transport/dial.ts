import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls, type TLSSocket } from 'node:tls';
import { Status, TransportError } from './errors.js';
import type { ConnectionTarget } from './options.js';

/** A connected socket, over which TLS has agreed on HTTP/2 and verified the peer. Rejects with a TransportError. */
export function dial(target: ConnectionTarget, timeoutMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    let socket: Socket;
    const fail = (error: Error) => {
      clearTimeout(timer);
      socket?.destroy();
      socket?.on('error', () => undefined); // it has failed already; the first error is reported
      const text = `${address(target)}: ${messageOf(error)}`;
      reject(new TransportError(Status.UNAVAILABLE, text, 'not sent', { cause: error }));
    };
    const timer = setTimeout(() => fail(new Error(`no connection within ${timeoutMs} ms`)), timeoutMs);
    try {
      socket = target.tls === undefined ? plainSocket(target) : tlsSocket(target, target.tls);
    } catch (error) {
      fail(error as Error); // a certificate or key that can't be read
      return;
    }
    const closed = () => fail(new Error('closed before it was ready'));
    socket.once('error', fail);
    socket.once('close', closed);
    socket.once(target.tls === undefined ? 'connect' : 'secureConnect', () => {
      const protocol = target.tls === undefined ? 'h2' : (socket as TLSSocket).alpnProtocol;
      if (protocol !== 'h2') {
        fail(new Error('the server does not speak HTTP/2 (ALPN)'));
        return;
      }
      clearTimeout(timer);
      socket.off('error', fail);
      socket.off('close', closed);
      resolve(socket);
    });
  });
}

/** `host:port`, as `:authority` has it. */
export function address({ host, port }: ConnectionTarget): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}

function plainSocket({ host, port }: ConnectionTarget): Socket {
  return connectTcp({ host, port, noDelay: true });
}

function tlsSocket({ host, port }: ConnectionTarget, tls: NonNullable<ConnectionTarget['tls']>): TLSSocket {
  const name = tls.serverName ?? host;
  const socket = connectTls({
    host,
    port,
    ALPNProtocols: ['h2'],
    checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
    ...(isIP(name) === 0 ? { servername: name } : {}),
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
  });
  socket.setNoDelay(true);
  return socket;
}

/** Where a name has several addresses, Node's error has no text of its own. */
function messageOf(error: Error): string {
  const each = error instanceof AggregateError ? error.errors.map((one: Error) => one.message) : [];
  return error.message || each.join('; ') || error.name;
}
