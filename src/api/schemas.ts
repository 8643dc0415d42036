import { USAGE_RANGES } from '../administration/usage-report.js';
import type { JsonObject } from '../broker/model.js';

/**
 * The JSON schemas of what the API is sent and answers. They validate the requests, and the description at
 * `/api/openapi.json` is made from them.
 */

const text = (description?: string): JsonObject => ({
  type: 'string',
  ...(description === undefined ? {} : { description }),
});
const count = (description?: string): JsonObject => ({
  type: 'integer',
  minimum: 0,
  ...(description === undefined ? {} : { description }),
});
const moment: JsonObject = { type: 'string', format: 'date-time' };
const nullable = (schema: JsonObject): JsonObject => ({ ...schema, type: [schema.type, 'null'] });

/** An object with these properties and no others. @param optional those that may be left out */
export function object(properties: JsonObject, optional: readonly string[] = []): JsonObject {
  return {
    type: 'object',
    properties,
    required: Object.keys(properties).filter((name) => !optional.includes(name)),
    additionalProperties: false,
  };
}

export function listOf(name: string, items: JsonObject): JsonObject {
  return object({ _embedded: object({ [name]: { type: 'array', items } }), _links: links('self') }, [
    '_links',
  ]);
}

function links(...names: string[]): JsonObject {
  return object(Object.fromEntries(names.map((name) => [name, object({ href: text() })])));
}

export const DEPLOYMENT_SCHEMA = object(
  {
    id: text('24 hexadecimal digits'),
    name: text(),
    type: { type: 'string', enum: ['etcd'] },
    created_at: moment,
    version: text("etcd's"),
    notes: text(),
    ca_certificate_base64: text(),
    connection_strings: object({
      direct: { type: 'array', items: text() },
      cli: { type: 'array', items: text() },
      maps: { type: 'array', items: text() },
    }),
    provision_recipe_id: { type: 'null' },
    _links: links('self', 'scalings', 'backups', 'recipes', 'whitelist', 'versions'),
  },
  ['ca_certificate_base64'],
);

export const SCALINGS_SCHEMA = object({
  allocated_units: count(),
  used_units: count(),
  starting_units: count(),
  minimum_units: count(),
  memory_per_unit_in_mb: count(),
  storage_per_unit_in_mb: count(),
  unit_size_in_mb: count(),
  unit_type: text(),
});

export const SCALING_BODY = object({
  deployment: object({ units: { type: 'integer', description: 'as many as the plan allows' } }),
});

export const RECIPE_SCHEMA = object({
  id: text(),
  template: text(),
  status: { type: 'string', enum: ['running', 'waiting', 'complete', 'failed'] },
  status_detail: text(),
  deployment_id: text(),
  name: text(),
  created_at: moment,
  updated_at: moment,
  operations_complete: count(),
  operations_total: count(),
});

export const BACKUP_SCHEMA = object({
  id: text('24 hexadecimal digits'),
  deployment_id: text(),
  name: text(),
  type: { type: 'string', enum: ['daily', 'weekly', 'monthly', 'on_demand'] },
  status: { type: 'string', enum: ['complete'] },
  is_downloadable: { type: 'boolean' },
  is_restorable: { type: 'boolean' },
  created_at: moment,
  download_link: text(),
});

export const WHITELIST_ENTRY_SCHEMA = object({
  id: text(),
  ip: text('an address or a network'),
  description: text(),
});

const NEW_ENTRY = object({ ip: text('an address or a network'), description: text() }, ['description']);
/** With and without the `deployment` around it: both are in use. */
export const WHITELIST_BODY: JsonObject = {
  type: 'object',
  properties: { deployment: object({ whitelist: NEW_ENTRY }), whitelist: NEW_ENTRY },
  minProperties: 1,
  maxProperties: 1,
  additionalProperties: false,
};

export const TRANSITION_SCHEMA = object({
  application: text(),
  method: { type: 'string', enum: ['in_place', 'restore'] },
  from_version: text(),
  to_version: text(),
});

export const KEY_SPACE_SCHEMA = object({ name: text(), keys: count() });

export const BINDING_SCHEMA = object(
  {
    id: text("the platform's"),
    app_guid: text(),
    key_space: text(),
    access: { type: 'string', enum: ['readwrite', 'readonly'] },
    username: text(),
    state: { type: 'string', enum: ['binding', 'ready', 'unbinding', 'expired'] },
    created_at: moment,
    expires_at: moment,
  },
  ['app_guid', 'expires_at'],
);

/** The only answer with a password: it is new, and told once. */
export const ROTATION_SCHEMA = object({
  recipe: RECIPE_SCHEMA,
  credentials: { type: 'object', description: 'as the platform gets them for a binding' },
});

export const USAGE_RANGE_SCHEMA: JsonObject = {
  type: 'string',
  enum: Object.keys(USAGE_RANGES),
  default: '30m',
};

const seconds: JsonObject = { type: 'number', minimum: 0 };
const level = nullable(count('the highest of the time; null when not known'));
export const USAGE_SCHEMA = object({
  range: USAGE_RANGE_SCHEMA,
  quota_bytes: count(),
  points: {
    type: 'array',
    items: object({
      time: moment,
      seconds: count('how much of the point is over'),
      reads: count(),
      writes: count(),
      leases: count(),
      watches: count(),
      others: count(),
      errors: count(),
      received_bytes: count(),
      sent_bytes: count(),
      p50_seconds: nullable(seconds),
      p99_seconds: nullable(seconds),
      connections: count('the most at the end of a minute'),
      streams: count('the most at the end of a minute'),
      stored_bytes: level,
      history_bytes: level,
      keys: level,
    }),
  },
});

export const ERROR_SCHEMA = object({ errors: text('what is wrong, and what to do') });
