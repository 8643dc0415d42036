/**
 * Where tenants' keys are. Every prefix ends with `/`, so that `…/a/` never covers `…/ab/`; ids of deployments are
 * hexadecimal and names of key spaces are checked (see `bind-parameters.ts`), so neither holds a `/` of its own.
 */
export const DEPLOYMENTS = '/d/';

/** The prefix of all keys of a deployment. */
export function deploymentPrefix(deploymentId: string): string {
  return `${DEPLOYMENTS}${deploymentId}/`;
}

/** The prefix of one key space of a deployment. */
export function keySpacePrefix(deploymentId: string, keySpace: string): string {
  return `${deploymentPrefix(deploymentId)}${keySpace}/`;
}
