import { readdir, readFile } from 'node:fs/promises';

export interface Usage {
  rssBytes: number;
  /** Open files and sockets. */
  handles: number;
}

/** What a process holds now, as the system sees it: nobody has to ask the process, which may be busy. */
export async function usageOf(pid: number): Promise<Usage> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const kilobytes = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
  return { rssBytes: kilobytes * 1_024, handles: (await readdir(`/proc/${pid}/fd`)).length };
}

/** Looks at a process all the time. @returns to be called for the highest values seen */
export function watchUsage(pid: number): () => Promise<Usage> {
  const peak: Usage = { rssBytes: 0, handles: 0 };
  const look = async () => {
    const { rssBytes, handles } = await usageOf(pid);
    peak.rssBytes = Math.max(peak.rssBytes, rssBytes);
    peak.handles = Math.max(peak.handles, handles);
  };
  const timer = setInterval(() => void look().catch(() => clearInterval(timer)), 100);
  return async () => {
    clearInterval(timer);
    await look();
    return peak;
  };
}
