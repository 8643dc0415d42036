import { PlatformAway, SignInExpired } from './errors.js';
import type { Ask } from './http.js';
import { jsonObject } from './json.js';

/** What a person may do with an instance. */
export type PlatformPermission = 'read' | 'manage';

const TOKEN = /^[\x21-\x7e]+$/;

/**
 * Asks the Cloud Controller what the holder of a token may do with an instance.
 * @returns undefined when that is nothing, or there is no such instance
 * @throws SignInExpired, PlatformAway
 */
export async function permissionFor(
  ask: Ask,
  apiUrl: string,
  instanceId: string,
  token: string,
): Promise<PlatformPermission | undefined> {
  const segment = pathSegment(instanceId);
  if (segment === undefined) {
    return undefined;
  }
  if (!TOKEN.test(token)) {
    throw new SignInExpired();
  }
  const answer = await ask(`${apiUrl}/v3/service_instances/${segment}/permissions`, {
    headers: { accept: 'application/json', authorization: `Bearer ${token}` },
  });
  switch (answer.status) {
    case 200:
      return permissionIn(await jsonObject(answer, 'The Cloud Controller'));
    case 401:
      throw new SignInExpired();
    case 404:
      return undefined;
    default:
      throw new PlatformAway(`The Cloud Controller answered ${answer.status} about permissions.`);
  }
}

function permissionIn({ read, manage }: Record<string, unknown>): PlatformPermission | undefined {
  if (typeof read !== 'boolean' || typeof manage !== 'boolean') {
    throw new PlatformAway('The Cloud Controller did not say what a person may do.');
  }
  if (manage) {
    return 'manage';
  }
  return read ? 'read' : undefined;
}

/** @returns undefined for what can't be one segment of a path, and so is the id of no instance there */
function pathSegment(instanceId: string): string | undefined {
  // URLs take dots away even where they are encoded, and halves of characters can't be encoded at all.
  return instanceId === '' || instanceId === '.' || instanceId === '..' || /\p{Surrogate}/u.test(instanceId)
    ? undefined
    : encodeURIComponent(instanceId);
}
