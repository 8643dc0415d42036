import type { JsonObject } from '../broker/model.js';
import type { ApiEndpoint, FileEndpoint } from './endpoint.js';
import { ERROR_SCHEMA } from './schemas.js';

/** Below the API's root. */
export const BASE = '/2016-07/instances/{instance_id}';

/**
 * The description of the API (OpenAPI 3.1).
 * @param root the address of the API, without a trailing slash
 */
export function openApi(endpoints: readonly (ApiEndpoint | FileEndpoint)[], root: string): object {
  const paths: Record<string, JsonObject> = {};
  for (const endpoint of endpoints) {
    const path = `${BASE}${endpoint.path}`;
    paths[path] = { ...paths[path], [endpoint.method]: operation(endpoint) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Administration API of Compose for etcd',
      version: '2016-07',
      description: 'One service instance, with a bearer token of its own.',
    },
    servers: [{ url: root }],
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      responses: {
        error: {
          description: 'What is wrong',
          content: { 'application/json': { schema: ERROR_SCHEMA } },
        },
      },
    },
  };
}

function operation(endpoint: ApiEndpoint | FileEndpoint): JsonObject {
  const { path, summary, status, body, query = {} } = endpoint;
  const inPath = [...`${BASE}${path}`.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  const inQuery = Object.entries(query).map(([name, schema]) => ({ name, in: 'query', schema }));
  const content =
    'answer' in endpoint
      ? { 'application/hal+json': { schema: endpoint.answer } }
      : { [endpoint.mediaType]: { schema: { type: 'string' } } };
  return {
    summary,
    parameters: [...inPath, ...inQuery],
    ...(body && { requestBody: { required: true, content: { 'application/json': { schema: body } } } }),
    responses: {
      [String(status)]: { description: summary, content },
      default: { $ref: '#/components/responses/error' },
    },
  };
}
