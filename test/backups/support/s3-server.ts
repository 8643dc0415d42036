import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { S3Options } from '../../../src/backups/stores/s3.js';
import { Secret } from '../../../src/credentials/secret.js';

interface S3rver {
  configureBuckets(): Promise<unknown>;
  getMiddleware(): (request: IncomingMessage, response: ServerResponse) => void;
  close(): Promise<void>;
}
type S3rverClass = new (options: object) => S3rver;
const S3rver = createRequire(import.meta.url)('s3rver') as S3rverClass;

/** What a request meets before the server: true when it has been dealt with. */
export type Fault = (request: IncomingMessage, response: ServerResponse) => boolean;

/** A real S3 server (s3rver), which checks signatures, in a folder of its own. Requests can be made to fail. */
export class S3Server {
  /** Requests that came, e.g. `PUT /backups/…?partNumber=1`. */
  readonly requests: string[] = [];
  fault: Fault = () => false;
  readonly #server: Server;

  private constructor(
    readonly folder: string,
    s3: S3rver,
  ) {
    const serve = s3.getMiddleware();
    this.#server = createServer((request, response) => {
      this.requests.push(`${request.method} ${request.url}`);
      if (!this.fault(request, response)) {
        serve(request, response);
      }
    });
  }

  static async start(): Promise<S3Server> {
    const folder = await mkdtemp(path.join(tmpdir(), 's3-'));
    const s3 = new S3rver({ directory: folder, silent: true, configureBuckets: [{ name: 'backups' }] });
    await s3.configureBuckets();
    const server = new S3Server(folder, s3);
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** s3rver knows this pair of keys. */
  get options(): S3Options {
    return {
      url: `http://127.0.0.1:${this.port}/backups/broker/one`,
      style: 'path',
      region: 'us-east-1',
      accessKeyId: 'S3RVER',
      secretAccessKey: new Secret('S3RVER'),
      firstPauseMs: 5,
    };
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await rm(this.folder, { recursive: true, force: true });
  }
}
