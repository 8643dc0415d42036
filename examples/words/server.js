import cfenv from 'cfenv';
import { application } from './app.js';
import { boundCredentials, connect } from './etcd.js';
import { Words } from './words.js';

const DRAIN_MS = 5_000;

process.env.PORT ??= '3000';
const credentials = boundCredentials();
if (credentials === undefined) {
  console.error(
    "No etcd is bound. On Cloud Foundry: cf bind-service words my-etcd. Elsewhere, in the broker's folder:",
  );
  console.error('  eval "$(npx compose-etcd-broker bind my-etcd --output shell)"');
  process.exit(1);
}
const etcd = connect(credentials);
const portals = [credentials.uri, credentials.uri_direct_1].filter((uri) => uri !== undefined);
const app = application(
  new Words(etcd, credentials.key_prefix),
  portals.map((uri) => new URL(uri).host).join(' and '),
);
const { port, bind } = cfenv.getAppEnv({ name: 'words' });
const server = app.listen(port, bind, (error) => {
  if (error) {
    console.error(`The application can't listen on port ${port}: ${error.message}`);
    process.exit(1);
  }
  console.log(`The words are at http://localhost:${server.address().port}`);
});
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    setTimeout(() => process.exit(1), DRAIN_MS).unref();
    server.close(() => etcd.close());
    server.closeIdleConnections();
  });
}
