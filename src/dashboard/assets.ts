import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { Request, Response } from 'express';

const require = createRequire(import.meta.url);
const FOLDER = path.join(import.meta.dirname, 'assets');
const TYPES: Readonly<Record<string, string>> = { '.css': 'text/css', '.js': 'text/javascript' };

interface Asset {
  /** Under which it is served: it holds a hash of the content, so that browsers may keep it for ever. */
  file: string;
  type: string;
  bytes: Buffer;
}

function read(name: string, from = path.join(FOLDER, name)): Asset {
  const bytes = readFileSync(from);
  const extension = path.extname(name);
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 12);
  return {
    file: `${path.basename(name, extension)}.${hash}${extension}`,
    type: TYPES[extension] as string,
    bytes,
  };
}

const assets = {
  style: read('dashboard.css'),
  script: read('dashboard.js'),
  keys: read('keys.js'),
  charts: read('charts.js'),
  uplot: read('uPlot.js', require.resolve('uplot/dist/uPlot.iife.min.js')),
  uplotStyle: read('uPlot.css', require.resolve('uplot/dist/uPlot.min.css')),
} as const;

export type AssetName = keyof typeof assets;

/** The name of a file below `/dashboard/assets/`. */
export function assetFile(name: AssetName): string {
  return assets[name].file;
}

const byFile = new Map<string, Asset>(Object.values(assets).map((asset) => [asset.file, asset]));

/** GET /dashboard/assets/:file */
export function serveAsset(request: Request, response: Response, next: () => void): void {
  const asset = byFile.get(String(request.params.file));
  if (asset === undefined) {
    next();
    return;
  }
  response.set('Cache-Control', 'public, max-age=31536000, immutable').type(asset.type).send(asset.bytes);
}
