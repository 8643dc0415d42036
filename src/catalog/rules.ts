import type { CatalogFile, JsonObject, OfferingInFile, PlanInFile } from './types.js';

/** A rule that the catalog breaks: where, as a JSON pointer, and what would be good. */
export interface Violation {
  pointer: string;
  message: string;
}

const MOST_TAG_CHARACTERS = 2_048;
const MOST_MAINTENANCE_INFO_CHARACTERS = 2_000;
const MOST_SCHEMA_BYTES = 65_536;
const DRAFT_04 = /^http:\/\/json-schema\.org\/draft-04\/schema#?$/;

/**
 * Finds the first breach of the rules that a schema can't express: those of OSB 2.17, "Catalog Management", and
 * those that Cloud Controller adds when a broker is registered.
 */
export function findViolation(catalog: CatalogFile): Violation | undefined {
  return violations(catalog).next().value ?? undefined;
}

function* violations({ services }: CatalogFile): Generator<Violation, undefined> {
  const offerings = services.map((offering, index) => ({ offering, pointer: `/services/${index}` }));
  const plans = offerings.flatMap(({ offering, pointer }) =>
    offering.plans.map((plan, index) => ({ plan, pointer: `${pointer}/plans/${index}` })),
  );
  yield* repetitions(
    offerings.map(({ offering, pointer }) => [offering.name, `${pointer}/name`]),
    'give every service a name of its own',
  );
  yield* repetitions(
    // one id for a service and a plan would be legal, but is always an accident
    [
      ...offerings.map(({ offering, pointer }) => [offering.id, `${pointer}/id`] as const),
      ...plans.map(({ plan, pointer }) => [plan.id, `${pointer}/id`] as const),
    ],
    'ids are unique over the whole catalog; make a new one with "uuidgen"',
  );
  yield* repetitions(
    offerings.flatMap(({ offering, pointer }) =>
      offering.dashboard_client === undefined
        ? []
        : [[offering.dashboard_client.id, `${pointer}/dashboard_client/id`] as const],
    ),
    'give every service a dashboard client of its own',
  );
  for (const { offering, pointer } of offerings) {
    yield* offeringViolations(offering, pointer);
  }
  for (const { plan, pointer } of plans) {
    yield* planViolations(plan, pointer);
  }
}

function* offeringViolations(offering: OfferingInFile, pointer: string): Generator<Violation> {
  yield* repetitions(
    offering.plans.map(({ name }, index) => [name, `${pointer}/plans/${index}/name`]),
    'give every plan of a service a name of its own',
  );
  if ((offering.tags ?? []).join('').length > MOST_TAG_CHARACTERS) {
    yield {
      pointer: `${pointer}/tags`,
      message: `all tags together must have at most ${MOST_TAG_CHARACTERS} characters`,
    };
  }
}

function* planViolations(plan: PlanInFile, pointer: string): Generator<Violation> {
  if (JSON.stringify(plan.maintenance_info ?? {}).length > MOST_MAINTENANCE_INFO_CHARACTERS) {
    yield {
      pointer: `${pointer}/maintenance_info`,
      message: `it must have at most ${MOST_MAINTENANCE_INFO_CHARACTERS} characters as JSON; shorten the description`,
    };
  }
  for (const [place, schema] of parameterSchemas(plan)) {
    yield* schemaViolations(schema, `${pointer}/schemas/${place}/parameters`);
  }
}

/** The three schemas of a plan, with the place of each in its member `schemas`. */
export function parameterSchemas({ schemas }: PlanInFile): [place: string, schema: JsonObject][] {
  return [
    ['service_instance/create', schemas.service_instance.create.parameters],
    ['service_instance/update', schemas.service_instance.update.parameters],
    ['service_binding/create', schemas.service_binding.create.parameters],
  ];
}

function* schemaViolations(schema: JsonObject, pointer: string): Generator<Violation> {
  if (typeof schema.$schema !== 'string' || !DRAFT_04.test(schema.$schema)) {
    yield { pointer: `${pointer}/$schema`, message: 'it must be "http://json-schema.org/draft-04/schema#"' };
  }
  if (schema.type !== 'object') {
    yield { pointer: `${pointer}/type`, message: 'it must be "object", since parameters are one' };
  }
  if (Buffer.byteLength(JSON.stringify(schema)) > MOST_SCHEMA_BYTES) {
    yield { pointer, message: `the schema must not be larger than ${MOST_SCHEMA_BYTES} bytes` };
  }
  yield* keywordViolations(schema, pointer);
}

/** Walks through a schema and every schema in it. */
function* keywordViolations(value: unknown, pointer: string, isSchema = true): Generator<Violation> {
  if (typeof value !== 'object' || value === null) {
    return;
  }
  for (const [key, member] of Object.entries(value)) {
    const place = `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    if (isSchema && (key === 'enum' || key === 'default')) {
      continue; // values, in which "$ref" means nothing
    }
    if (isSchema && typeof member === 'string') {
      yield* textKeywordViolations(key, member, place);
    }
    const holdsNames =
      isSchema && ['properties', 'patternProperties', 'definitions', 'dependencies'].includes(key);
    yield* keywordViolations(member, place, !holdsNames);
  }
}

function* textKeywordViolations(keyword: string, value: string, pointer: string): Generator<Violation> {
  if (keyword === '$ref' && !value.startsWith('#')) {
    yield { pointer, message: 'it must refer to a place in the same schema, starting with "#"' };
  }
  if (keyword === 'id') {
    yield {
      pointer,
      message: 'a schema must not have an id, since that changes what "$ref" refers to; remove it',
    };
  }
}

/** A violation for each text that was there before. */
function* repetitions(
  texts: readonly (readonly [text: string, pointer: string])[],
  remedy: string,
): Generator<Violation> {
  const seen = new Map<string, string>();
  for (const [text, pointer] of texts) {
    const first = seen.get(text);
    if (first !== undefined) {
      yield { pointer, message: `it is the same as ${first}; ${remedy}` };
    }
    seen.set(text, pointer);
  }
}
