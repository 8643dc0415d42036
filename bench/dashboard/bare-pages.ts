// The floor of the dashboard's rows, in a process of its own: Express sends the same bytes with no checks. It is told
// a body for each path.
import type { AddressInfo } from 'node:net';
import express from 'express';

const app = express();
process.once('message', (bodies: Record<string, { type: string; text: string }>) => {
  for (const [path, { type, text }] of Object.entries(bodies)) {
    app.get(path, (_request, response) => {
      response.type(type).send(text);
    });
  }
  const server = app.listen(0, '127.0.0.1', () => {
    process.send?.((server.address() as AddressInfo).port);
  });
});
process.on('disconnect', () => process.exit());
