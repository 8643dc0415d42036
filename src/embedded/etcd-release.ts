import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rename } from 'node:fs/promises';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { get as httpsGet } from 'node:https';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { placeProgram, withTemporaryFolder } from './program-cache.js';
import { runCommand } from './run-command.js';

export const RELEASE_VERSION = '3.6.14';
const RELEASE_BASE = 'https://github.com/etcd-io/etcd/releases/download';
const CONNECT_TIMEOUT_MS = 3_000;
const DOWNLOAD_TIMEOUT_MS = 120_000;
const UNPACK_TIMEOUT_MS = 60_000;
const MAX_BYTES = 100 * 1024 * 1024;
const MAX_REDIRECTS = 5;

// SHA-256 of etcd-v3.6.14-linux-<architecture>.tar.gz.
const CHECKSUMS: Readonly<Record<string, string>> = {
  amd64: 'ffe840ff9295808e88cce2794a18a5ac87f12a5203c8314d0bf6aa119b41bac5',
  arm64: 'fa1b80565ee6fc2df1ae6f57a508b221f3ecc7d591c317c581cd8281b0842b3e',
};

export interface ReleaseSource {
  /** URL of the folder that holds `v<version>/etcd-v<version>-linux-<architecture>.tar.gz`. */
  baseUrl?: string;
  /** SHA-256 by architecture (`amd64`, `arm64`), hexadecimal. */
  checksums?: Readonly<Record<string, string>>;
}

export interface DownloadOptions {
  onProgress: (line: string) => void;
  signal?: AbortSignal;
  release?: ReleaseSource;
}

/**
 * Downloads the official etcd release into the cache and returns the server's path, or undefined where there is no
 * release for this processor. Nothing is unpacked before its checksum has been verified.
 *
 * @throws Error with one line when the download fails or its checksum is wrong; the cache is then unchanged
 */
export async function downloadRelease(
  cacheDir: string,
  options: DownloadOptions,
): Promise<string | undefined> {
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const checksum = (options.release?.checksums ?? CHECKSUMS)[architecture];
  if (checksum === undefined) {
    return undefined;
  }
  const name = `etcd-v${RELEASE_VERSION}-linux-${architecture}`;
  const url = `${options.release?.baseUrl ?? RELEASE_BASE}/v${RELEASE_VERSION}/${name}.tar.gz`;
  return await withTemporaryFolder(cacheDir, async (folder) => {
    options.onProgress(`Downloading etcd ${RELEASE_VERSION} from ${url}`);
    const archive = path.join(folder, 'etcd.tar.gz');
    const seen = await download(url, archive, options.signal);
    if (seen !== checksum) {
      throw new Error(`${url} has the SHA-256 ${seen}, not ${checksum}: refused`);
    }
    await runCommand('tar', ['-xzf', archive, '-C', folder, `${name}/etcd`], {
      timeoutMs: UNPACK_TIMEOUT_MS,
      signal: options.signal,
    });
    const unpacked = path.join(folder, 'etcd');
    await rename(path.join(folder, name, 'etcd'), unpacked);
    return await placeProgram(unpacked, path.join(cacheDir, RELEASE_VERSION));
  });
}

/** Writes what a URL gives into a file and returns its SHA-256. */
async function download(url: string, file: string, signal: AbortSignal | undefined): Promise<string> {
  const limit = AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS);
  const either = signal ? AbortSignal.any([signal, limit]) : limit;
  try {
    const response = await open(url, either);
    const hash = createHash('sha256');
    let bytes = 0;
    await pipeline(
      response,
      async function* (source: AsyncIterable<Buffer>) {
        for await (const chunk of source) {
          bytes += chunk.length;
          if (bytes > MAX_BYTES) {
            throw new Error(`it is larger than ${MAX_BYTES} bytes`);
          }
          hash.update(chunk);
          yield chunk;
        }
      },
      createWriteStream(file),
      { signal: either },
    );
    return hash.digest('hex');
  } catch (error) {
    const message = limit.aborted
      ? `it took longer than ${DOWNLOAD_TIMEOUT_MS} ms`
      : (error as Error).message;
    throw new Error(`${url} can't be downloaded: ${message}`, { cause: error });
  }
}

// GitHub answers with a redirection to its storage. A closed network is noticed by the first byte that fails to come.
async function open(url: string, signal: AbortSignal, redirects = 0): Promise<IncomingMessage> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const get = url.startsWith('https:') ? httpsGet : httpGet;
    const request = get(url, { signal, agent: false }, resolve);
    const timer = setTimeout(
      () => request.destroy(new Error(`no answer within ${CONNECT_TIMEOUT_MS} ms`)),
      CONNECT_TIMEOUT_MS,
    );
    request.once('response', () => clearTimeout(timer));
    request.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
  });
  const { statusCode = 0, headers } = response;
  if (statusCode >= 300 && statusCode < 400 && headers.location !== undefined) {
    response.destroy();
    const next = new URL(headers.location, url);
    if (redirects >= MAX_REDIRECTS || (url.startsWith('https:') && next.protocol !== 'https:')) {
      throw new Error(`the redirection to ${next.origin} is not followed`);
    }
    return await open(next.href, signal, redirects + 1);
  }
  if (statusCode !== 200) {
    response.destroy();
    throw new Error(`the server answered ${statusCode}`);
  }
  return response;
}
