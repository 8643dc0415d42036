import path from 'node:path';
import type { Application } from '../application.js';
import { shellWord } from './shell.js';

/** Where `bind` expects the broker. */
const USUAL_URL = 'http://localhost:8080';

/** What a person who has started the broker wants to know next. The password is shown when it was made just now. */
export function welcome(application: Application, cluster: 'embedded' | 'external'): string[] {
  const { url, publicUrl, username, keptPassword, endpoints, names, dashboardLink } = application;
  // Both lines work when they are pasted, and do not leave the password in the terminal each time.
  const password =
    keptPassword === undefined ? '"$BROKER_PASSWORD"' : `"$(cat ${shellWord(keptPassword.file)})"`;
  const user = shellWord(username);
  const lines = [
    '',
    names === 'portal'
      ? `The service broker listens at ${url} on the ${cluster} etcd, which applications reach by the portals ${endpoints.join(', ')}`
      : `The service broker listens at ${url} on the ${cluster} etcd ${endpoints.join(', ')}`,
    `  user:     ${username}`,
  ];
  if (keptPassword?.isNew) {
    lines.push(`  password: ${keptPassword.secret.reveal()} (shown once; kept in ${keptPassword.file})`);
  } else if (keptPassword !== undefined) {
    lines.push(`  password: kept in ${keptPassword.file}`);
  }
  lines.push(
    '',
    'Register it with Cloud Foundry:',
    `  cf create-service-broker compose-etcd ${user} ${password} ${publicUrl}`,
    'Look at its catalog:',
    `  curl -u ${user}:${password} -H 'X-Broker-API-Version: 2.17' ${url}/v2/catalog`,
  );
  if (dashboardLink !== undefined) {
    lines.push('Open the dashboard (this link signs in once, within ten minutes):', `  ${dashboardLink}`);
  }
  // Where bind looks by itself need not be said.
  const folder = keptPassword && path.dirname(keptPassword.file);
  const settings = [
    ...(url === USUAL_URL ? [] : [`BROKER_URL=${url} `]),
    ...(folder === undefined
      ? [`BROKER_USERNAME=${user} BROKER_PASSWORD=${password} `]
      : path.resolve(folder) === path.resolve('data')
        ? []
        : [`DATA_DIR=${shellWord(folder)} `]),
  ];
  lines.push(
    'Without a platform, make an etcd of your own and print its credentials (--help tells the other forms):',
    `  ${settings.join('')}npx compose-etcd-broker bind my-etcd --output etcdctl`,
    '',
  );
  return lines;
}
