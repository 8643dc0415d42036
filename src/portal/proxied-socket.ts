import type { Socket } from 'node:net';
import { ProxyHeaderParser } from './limits/proxy-protocol.js';

/**
 * Reads the PROXY protocol's header from a connection that has just opened. The socket is as new afterwards: what came
 * behind the header is still to be read.
 * @param timeoutMs how long the header may take
 * @returns the client's address as the load balancer says it, or its own where it speaks for itself
 * @throws Error when there is no such header in time; the socket is then destroyed
 */
export function readProxyHeader(socket: Socket, timeoutMs: number): Promise<string> {
  const parser = new ProxyHeaderParser();
  return new Promise((resolve, reject) => {
    const settle = () => {
      clearTimeout(timer);
      socket.off('data', onData);
      socket.off('close', onClose);
      socket.pause();
    };
    const refuse = (reason: string) => {
      settle();
      socket.destroy();
      reject(new Error(reason));
    };
    const timer = setTimeout(() => refuse(`no PROXY protocol header came within ${timeoutMs} ms`), timeoutMs);
    const onClose = () => refuse('the connection was closed before its PROXY protocol header');
    const onData = (chunk: Buffer) => {
      const result = parser.push(chunk);
      if (result.kind === 'refused') {
        refuse(result.reason);
      } else if (result.kind === 'header') {
        settle();
        if (result.rest.length > 0) {
          socket.unshift(result.rest);
        }
        resolve(result.peer?.address ?? socket.remoteAddress ?? '');
      }
    };
    socket.on('error', () => undefined); // 'close' follows
    socket.once('close', onClose);
    socket.on('data', onData);
  });
}
