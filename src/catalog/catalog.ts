import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { CatalogError } from './error.js';
import { CATALOG_FILE_SCHEMA } from './file-schema.js';
import { findJsonMistake, lineAndColumn } from './json.js';
import { compileParameters, draft04 } from './parameters.js';
import { describeProblem, shorten } from './problems.js';
import { findViolation, parameterSchemas } from './rules.js';
import type {
  Catalog,
  CatalogFile,
  DashboardClient,
  OfferingInFile,
  PlanInFile,
  ServiceOffering,
  ServicePlan,
} from './types.js';

/**
 * Reads the catalog file and checks it against OSB 2.17, "Catalog Management", and the limits of Cloud Controller.
 * @throws CatalogError when the file can't be read or breaks a rule
 */
export function loadCatalog(path: string, dashboardClient?: DashboardClient): Catalog {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CatalogError(
      `The catalog ${path} can't be read (${code ?? String(error)}); set CATALOG to its path.`,
    );
  }
  return parseCatalog(bytes, path, dashboardClient);
}

/**
 * Checks the bytes of a catalog file.
 * @param path names the file in errors
 * @param dashboardClient is published with the first offering
 * @throws CatalogError
 */
export function parseCatalog(bytes: Uint8Array, path: string, dashboardClient?: DashboardClient): Catalog {
  const document = parseJson(decode(bytes, path), path);
  const written = checkForm(document, path);
  const file = dashboardClient === undefined ? written : withClient(written, dashboardClient, path);
  const violation = findViolation(file);
  if (violation !== undefined) {
    throw mistake(path, violation.pointer, violation.message);
  }
  const services = file.services.map((offering, index) =>
    serviceOffering(offering, `/services/${index}`, path),
  );
  const body = Buffer.from(JSON.stringify(withoutSettings(file)));
  const byId = new Map(services.map((service) => [service.id, service]));
  return {
    body,
    etag: `"${createHash('sha256').update(body).digest('base64url')}"`,
    services,
    findService: (serviceId) => byId.get(serviceId),
    findPlan: (serviceId, planId) => byId.get(serviceId)?.plans.find(({ id }) => id === planId),
  };
}

function decode(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    // The decoder doesn't say where. What it replaces when it is lenient begins where the two readings part.
    const lenient = new TextDecoder().decode(bytes);
    const again = new TextEncoder().encode(lenient);
    const bom = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
    const bad = again.findIndex((byte, index) => byte !== bytes[index + bom]);
    const before = new TextDecoder().decode(bytes.subarray(0, bad + bom));
    throw syntaxError(path, before, before.length, 'it is not UTF-8; save the file in that encoding');
  }
}

function parseJson(text: string, path: string): unknown {
  const found = findJsonMistake(text);
  if (found !== undefined) {
    throw syntaxError(path, text, found.offset, `it is not JSON: ${found.message}`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new CatalogError(`The catalog ${path} is not JSON: ${(error as Error).message}.`);
  }
}

function syntaxError(path: string, text: string, offset: number, message: string): CatalogError {
  const { line, column } = lineAndColumn(text, offset);
  return new CatalogError(`The catalog ${path}:${line}:${column}: ${message}.`);
}

function checkForm(document: unknown, path: string): CatalogFile {
  const validate = draft04().compile<CatalogFile>(CATALOG_FILE_SCHEMA);
  if (validate(document)) {
    return document;
  }
  const [error] = validate.errors ?? [];
  const problem = error === undefined ? 'it is not a catalog' : describeProblem(error, pointerName);
  throw new CatalogError(`The catalog ${path}: ${problem.replace(/\.$/, '')}.`);
}

/** A JSON pointer (RFC 6901). */
function pointerName(path: readonly string[]): string {
  return path.length === 0
    ? 'the whole'
    : shorten(path.map((part) => `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`).join(''));
}

function mistake(path: string, pointer: string, message: string): CatalogError {
  return new CatalogError(`The catalog ${path}: ${pointer}: ${message}.`);
}

/** One client serves all offerings, so the first one publishes it. */
function withClient({ services }: CatalogFile, client: DashboardClient, path: string): CatalogFile {
  const index = services.findIndex(({ dashboard_client }) => dashboard_client !== undefined);
  if (index >= 0) {
    throw mistake(
      path,
      `/services/${index}/dashboard_client`,
      'the settings say it already (DASHBOARD_CLIENT_SECRET); take it away here, or unset that',
    );
  }
  const [first, ...others] = services;
  return { services: [{ ...(first as OfferingInFile), dashboard_client: client }, ...others] };
}

/** What is published: the file without the members that are for the broker alone. */
function withoutSettings({ services }: CatalogFile): object {
  return {
    services: services.map((offering) => ({
      ...offering,
      plans: offering.plans.map(({ broker: _, ...published }) => published),
    })),
  };
}

function serviceOffering(offering: OfferingInFile, pointer: string, path: string): ServiceOffering {
  const { id, name, description, bindable } = offering;
  const plans = offering.plans.map((plan, index) =>
    servicePlan(plan, offering, (place, reason) =>
      mistake(path, `${pointer}/plans/${index}/${place}`, reason),
    ),
  );
  return { id, name, description, bindable, planUpdateable: offering.plan_updateable, plans };
}

function servicePlan(
  plan: PlanInFile,
  offering: OfferingInFile,
  fail: (place: string, reason: string) => CatalogError,
): ServicePlan {
  const [create, update, bind] = parameterSchemas(plan).map(([place, schema]) => {
    try {
      return compileParameters(schema);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw fail(`schemas/${place}/parameters`, `it is not a schema of draft 4: ${shorten(reason)}`);
    }
  }) as [
    ServicePlan['validators']['create'],
    ServicePlan['validators']['update'],
    ServicePlan['validators']['bind'],
  ];
  return {
    id: plan.id,
    name: plan.name,
    description: plan.description,
    free: plan.free ?? true,
    bindable: plan.bindable ?? offering.bindable,
    bindingRotatable: plan.binding_rotatable ?? false,
    planUpdateable: plan.plan_updateable ?? offering.plan_updateable,
    ...(plan.maximum_polling_duration === undefined
      ? {}
      : { maximumPollingDuration: plan.maximum_polling_duration }),
    ...(plan.maintenance_info === undefined ? {} : { maintenanceInfo: plan.maintenance_info }),
    settings: { quotaBytes: plan.broker.quota_bytes, hasBackups: plan.broker.backups ?? true },
    validators: { create, update, bind },
  };
}
