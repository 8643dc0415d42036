import { createHash } from 'node:crypto';
import { rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { placeProgram, withTemporaryFolder } from './etcd-cache.js';
import { runCommand } from './run-command.js';

export const RELEASE_VERSION = '3.6.14';
const RELEASE_BASE = 'https://github.com/etcd-io/etcd/releases/download';
/** A closed network is noticed by the answer that does not come. */
const ANSWER_TIMEOUT_MS = 3_000;
const DOWNLOAD_TIMEOUT_MS = 120_000;
const UNPACK_TIMEOUT_MS = 60_000;
const MAX_BYTES = 100 * 1024 * 1024;

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

/**
 * Downloads the official etcd release into the cache and returns the server's path, or undefined where there is no
 * release for this processor. Nothing is unpacked before its checksum has been verified.
 *
 * @throws Error with one line when the download fails or its checksum is wrong; the cache is then unchanged
 */
export async function downloadRelease(
  cacheDir: string,
  onProgress: (line: string) => void,
  { baseUrl = RELEASE_BASE, checksums = CHECKSUMS }: ReleaseSource = {},
): Promise<string | undefined> {
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const checksum = checksums[architecture];
  if (checksum === undefined) {
    return undefined;
  }
  const name = `etcd-v${RELEASE_VERSION}-linux-${architecture}`;
  const url = `${baseUrl}/v${RELEASE_VERSION}/${name}.tar.gz`;
  return await withTemporaryFolder(cacheDir, async (folder) => {
    onProgress(`Downloading etcd ${RELEASE_VERSION} from ${url}`);
    const content = await download(url);
    const seen = createHash('sha256').update(content).digest('hex');
    if (seen !== checksum) {
      throw new Error(`${url} has the SHA-256 ${seen}, not ${checksum}: refused`);
    }
    const archive = path.join(folder, 'etcd.tar.gz');
    await writeFile(archive, content);
    const args = ['-xzf', archive, '-C', folder, `${name}/etcd`];
    await runCommand('tar', args, { timeoutMs: UNPACK_TIMEOUT_MS });
    const unpacked = path.join(folder, 'etcd');
    await rename(path.join(folder, name, 'etcd'), unpacked);
    return await placeProgram(unpacked, path.join(cacheDir, RELEASE_VERSION));
  });
}

async function download(url: string): Promise<Uint8Array> {
  const impatience = new AbortController();
  const timer = setTimeout(
    () => impatience.abort(new Error(`no answer within ${ANSWER_TIMEOUT_MS} ms`)),
    ANSWER_TIMEOUT_MS,
  );
  try {
    const limit = AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS);
    const response = await fetch(url, { signal: AbortSignal.any([impatience.signal, limit]) });
    clearTimeout(timer);
    if (!response.ok || response.body === null) {
      throw new Error(`the server answered ${response.status}`);
    }
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of response.body) {
      bytes += chunk.length;
      if (bytes > MAX_BYTES) {
        throw new Error(`it is larger than ${MAX_BYTES} bytes`);
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } catch (error) {
    // fetch hides the reason of a failure in its cause.
    const { message } = ((error as Error).cause ?? error) as Error;
    throw new Error(`${url} can't be downloaded: ${message}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}
