import type { Application } from '../application.js';

/** What a person who has started the broker wants to know next. The password is shown when it was made just now. */
export function welcome(application: Application, cluster: 'embedded' | 'external'): string[] {
  const { url, publicUrl, username, keptPassword, endpoints, names } = application;
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
  if (application.caFile !== undefined) {
    lines.push(
      "Try an etcd of a binding's own, with the user and password of its credentials:",
      `  ETCDCTL_API=3 etcdctl --endpoints=${endpoints.join(',')} --cacert=${shellWord(application.caFile)} --user="$ETCD_USER:$ETCD_PASSWORD" put hello world`,
    );
  }
  lines.push('');
  return lines;
}

/** A text as one word for a shell, quoted where it needs that. */
function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
