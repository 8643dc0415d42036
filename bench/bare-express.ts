// The floor of the catalog's row, in a process of its own: Express sends the same bytes with no checks.
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import express from 'express';
import { loadCatalog } from '../src/catalog/catalog.js';

const { body, etag } = loadCatalog(path.resolve(import.meta.dirname, '..', '..', 'catalog.json'));
const app = express();
app.get('/v2/catalog', (_request, response) => {
  response.setHeader('ETag', etag);
  response.setHeader('Content-Type', 'application/json; charset=utf-8');
  response.setHeader('Content-Length', body.length);
  response.end(body);
});
const server = app.listen(0, '127.0.0.1', () => {
  process.send?.((server.address() as AddressInfo).port);
});
process.on('disconnect', () => process.exit());
