import type { Request } from 'express';
import { InvalidRequest } from '../../broker/errors.js';
import type { JsonObject } from '../../broker/model.js';

/**
 * The fields of a request's body. Generated clients send every optional field, set or not, so one rule holds for all of them:
 * null, an empty text and an empty object say the same as leaving the field out.
 */

/** Longer ids than this are refused; the platforms' are 36 characters. */
const LONGEST_ID = 256;
/** Text that is not well-formed Unicode has no UTF-8 form of its own, so two such ids could meet in one name. */
const LONE_SURROGATE = /\p{Surrogate}/u;
/** Bounds of an object that may be stored: what is deeper can't be written again, what is larger etcd does not take. */
const DEEPEST = 20;
const LARGEST_OBJECT = 512 << 10;

/** Checks an id of the platform's, which may be any text. @throws InvalidRequest */
function checkId(name: string, id: string): string {
  if (id === '' || id.length > LONGEST_ID || LONE_SURROGATE.test(id)) {
    throw new InvalidRequest(`${name} must be well-formed text of 1 to ${LONGEST_ID} characters.`);
  }
  return id;
}

export function instanceId(request: Request): string {
  return checkId('The instance id', String(request.params.instance_id));
}

export function bindingId(request: Request): string {
  return checkId('The binding id', String(request.params.binding_id));
}

/** The body of a request, which must be a JSON object. @throws InvalidRequest */
export function bodyOf(request: Request): JsonObject {
  const body: unknown = request.body;
  if (!isObject(body)) {
    throw new InvalidRequest('The body must be a JSON object.');
  }
  return body;
}

/** A text that must be there. @throws InvalidRequest */
export function requiredText(fields: JsonObject, name: string): string {
  const value = optionalText(fields, name);
  if (value === undefined) {
    throw new InvalidRequest(`${name} is missing.`);
  }
  return value;
}

/** @throws InvalidRequest when it is there and is not a text that can be kept */
export function optionalText(fields: JsonObject, name: string): string | undefined {
  const value = fields[name];
  if (isAbsent(value)) {
    return undefined;
  }
  if (typeof value !== 'string' || value.length > LONGEST_ID || LONE_SURROGATE.test(value)) {
    throw new InvalidRequest(`${name} must be a text of 1 to ${LONGEST_ID} characters.`);
  }
  return value;
}

/** @throws InvalidRequest when it is there and is not an object, or is too deep or too large to keep */
export function optionalObject(fields: JsonObject, name: string): JsonObject | undefined {
  const value = fields[name];
  if (isAbsent(value)) {
    return undefined;
  }
  if (!isObject(value)) {
    throw new InvalidRequest(`${name} must be a JSON object.`);
  }
  if (isDeep(value)) {
    throw new InvalidRequest(`${name} must not be nested more than ${DEEPEST} levels deep.`);
  }
  // Numbers may be longer when they are written again: 1e20 becomes 21 digits.
  if (Buffer.byteLength(JSON.stringify(value)) > LARGEST_OBJECT) {
    throw new InvalidRequest(`${name} must not be larger than ${LARGEST_OBJECT} bytes.`);
  }
  return value;
}

/** Like {@link optionalObject}, for an object of the specification's own fields: those that are absent are left out. */
export function optionalFields(fields: JsonObject, name: string): JsonObject | undefined {
  const present = Object.entries(optionalObject(fields, name) ?? {}).filter(([, value]) => !isAbsent(value));
  return present.length === 0 ? undefined : Object.fromEntries(present);
}

function isAbsent(value: unknown): boolean {
  return (
    value === undefined ||
    value === null ||
    value === '' ||
    (isObject(value) && Object.keys(value).length === 0)
  );
}

/** Goes level by level, since the stack is too small for the depth that a body may have. */
function isDeep(object: object): boolean {
  let level: object[] = [object];
  for (let depth = 1; level.length > 0; depth += 1) {
    if (depth > DEEPEST) {
      return true;
    }
    level = level.flatMap((one) =>
      Object.values(one).filter((value: unknown) => typeof value === 'object' && value !== null),
    );
  }
  return false;
}

/** `maintenance_info.version`, the one field of it that counts. @throws InvalidRequest */
export function maintenanceVersion(fields: JsonObject): string | undefined {
  const info = optionalFields(fields, 'maintenance_info');
  if (info !== undefined && typeof info.version !== 'string') {
    throw new InvalidRequest('maintenance_info.version must be a semantic version.');
  }
  return info?.version as string | undefined;
}

/** `accepts_incomplete` of the query string. @throws InvalidRequest */
export function acceptsIncomplete(request: Request): boolean {
  const value = request.query.accepts_incomplete;
  if (value === undefined || value === 'false') {
    return false;
  }
  if (value === 'true') {
    return true;
  }
  throw new InvalidRequest('accepts_incomplete must be true or false.');
}

/** The service and plan that a DELETE carries in its query string. @throws InvalidRequest */
export function deletedServiceAndPlan(request: Request): { service_id: string; plan_id: string } {
  const query = request.query as JsonObject;
  return { service_id: requiredText(query, 'service_id'), plan_id: requiredText(query, 'plan_id') };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
