import type { Answer } from './broker-client.js';
import type { BoundCredentials } from './forms.js';

/** What an answer about an instance or a binding says; a member that is not of its form is undefined. */
export interface Reply {
  planId: string | undefined;
  /** Complete, or undefined. */
  credentials: BoundCredentials | undefined;
  /** ISO 8601. */
  expiresAt: string | undefined;
}

export function reply({ plan_id, credentials, metadata }: Answer['body']): Reply {
  const { expires_at } = (metadata ?? {}) as { [field: string]: unknown };
  return { planId: text(plan_id), credentials: complete(credentials), expiresAt: text(expires_at) };
}

function complete(value: unknown): BoundCredentials | undefined {
  const fields = (value ?? {}) as { [field: string]: unknown };
  return ['uri', 'username', 'password'].every((field) => text(fields[field]) !== undefined)
    ? (value as BoundCredentials)
    : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
