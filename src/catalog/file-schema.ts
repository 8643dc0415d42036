/**
 * The form of the catalog file: OSB 2.17, "Catalog Management", and the metadata of its profile, as far as the
 * broker can keep what they announce. Members that the specification doesn't know are refused, since they are
 * nearly always misspelt.
 */

const id = {
  type: 'string',
  pattern: '^[A-Za-z0-9._-]{1,255}$',
  description: 'letters, digits, ".", "_" and "-"; use a GUID, and never change it.',
};

/** Names are typed on command lines: the specification's "CLI-friendly". */
const name = {
  type: 'string',
  pattern: '^[A-Za-z0-9.-]{1,255}$',
  description: 'letters, digits, "." and "-".',
};

/** Cloud Controller's limit on descriptions. */
const description = { type: 'string', maxLength: 10_000, pattern: '\\S', description: 'not only blanks.' };

const text = { type: 'string', minLength: 1 };
const flag = { type: 'boolean' };

/** What the broker does for every instance, so that nothing else would be true. */
const always = { enum: [true] };

const numeric = '(0|[1-9][0-9]*)';
const preRelease = '(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)';
const build = '[0-9A-Za-z-]+';

/** Semantic Versioning 2.0.0, sections 2, 9 and 10. */
const semanticVersion = {
  type: 'string',
  maxLength: 255,
  pattern: `^${numeric}\\.${numeric}\\.${numeric}(-${preRelease}(\\.${preRelease})*)?(\\+${build}(\\.${build})*)?$`,
  description: 'a semantic version such as 1.0.0.',
};

const parameters = {
  type: 'object',
  required: ['parameters'],
  additionalProperties: false,
  properties: { parameters: { type: 'object', required: ['$schema'] } },
};

const schemas = {
  type: 'object',
  required: ['service_instance', 'service_binding'],
  additionalProperties: false,
  properties: {
    service_instance: {
      type: 'object',
      required: ['create', 'update'],
      additionalProperties: false,
      properties: { create: parameters, update: parameters },
    },
    service_binding: {
      type: 'object',
      required: ['create'],
      additionalProperties: false,
      properties: { create: parameters },
    },
  },
};

/** Members of `metadata` beyond these are the operator's own. */
const metadataOfPlan = {
  type: 'object',
  properties: {
    displayName: text,
    bullets: { type: 'array', items: text },
    costs: {
      type: 'array',
      items: {
        type: 'object',
        required: ['amount', 'unit'],
        properties: {
          amount: { type: 'object', minProperties: 1, additionalProperties: { type: 'number' } },
          unit: text,
        },
      },
    },
  },
};

const metadataOfOffering = {
  type: 'object',
  properties: {
    displayName: text,
    imageUrl: text,
    longDescription: text,
    providerDisplayName: text,
    documentationUrl: text,
    supportUrl: text,
    shareable: flag,
  },
};

const plan = {
  type: 'object',
  required: ['id', 'name', 'description', 'schemas', 'broker'],
  additionalProperties: false,
  properties: {
    id,
    name,
    description,
    metadata: metadataOfPlan,
    free: flag,
    bindable: flag,
    binding_rotatable: flag,
    plan_updateable: flag,
    schemas,
    maximum_polling_duration: { type: 'integer', minimum: 1, maximum: 2_147_483_647 },
    maintenance_info: {
      type: 'object',
      required: ['version'],
      additionalProperties: false,
      properties: { version: semanticVersion, description: text },
    },
    broker: {
      type: 'object',
      required: ['quota_bytes'],
      additionalProperties: false,
      properties: {
        quota_bytes: { type: 'integer', minimum: 65_536, maximum: 1_099_511_627_776 },
        backups: { type: 'boolean' },
      },
    },
  },
};

const offering = {
  type: 'object',
  required: [
    'id',
    'name',
    'description',
    'bindable',
    'instances_retrievable',
    'bindings_retrievable',
    'allow_context_updates',
    'plan_updateable',
    'plans',
  ],
  additionalProperties: false,
  properties: {
    id,
    name,
    description,
    tags: { type: 'array', items: text },
    requires: { type: 'array', maxItems: 0 },
    bindable: flag,
    instances_retrievable: always,
    bindings_retrievable: always,
    allow_context_updates: always,
    metadata: metadataOfOffering,
    dashboard_client: {
      type: 'object',
      required: ['id', 'secret', 'redirect_uri'],
      additionalProperties: false,
      properties: { id: text, secret: text, redirect_uri: text },
    },
    plan_updateable: flag,
    plans: { type: 'array', minItems: 1, items: plan },
  },
};

export const CATALOG_FILE_SCHEMA = {
  $schema: 'http://json-schema.org/draft-04/schema#',
  type: 'object',
  required: ['services'],
  additionalProperties: false,
  properties: { services: { type: 'array', minItems: 1, items: offering } },
};
