import { type CallDefinition, type CallKind, services } from '../../etcd/messages/services.js';
import { type CallTreatment, calls, type Handling, type Writes } from './calls.js';
import { type MessageRule, messageRule } from './rules.js';

interface Named {
  /** As gRPC writes it: `/etcdserverpb.KV/Range`. */
  readonly path: string;
  /** The call's own name: `Range`. */
  readonly name: string;
}

/** A call that a tenant may make. */
export interface AllowedCall extends Named {
  readonly handling: Exclude<Handling, 'denied'>;
  readonly writes: Writes;
  readonly kind: CallKind;
  readonly request: MessageRule;
  readonly response: MessageRule;
}

/** A call of etcd's that no tenant may make. */
export interface DeniedCall extends Named {
  readonly handling: 'denied';
}

export type Call = AllowedCall | DeniedCall;

/** Every call of etcd's API by its exact path. What is not in it is UNIMPLEMENTED. */
export const callsByPath: ReadonlyMap<string, Call> = new Map(
  Object.entries(services).flatMap(([service, definitions]) =>
    Object.entries(definitions).map(([name, definition]) => {
      const path = `/${service}/${name}`;
      const treatments: { readonly [call: string]: CallTreatment } = calls[service as keyof typeof services];
      return [path, callOf(path, name, definition, treatments[name])];
    }),
  ),
);

function callOf(
  path: string,
  name: string,
  [request, response, kind]: CallDefinition,
  treatment?: CallTreatment,
): Call {
  const [handling, writes] = treatment ?? (['denied', 'yes'] as const);
  if (handling === 'denied') return { path, name, handling };
  return {
    path,
    name,
    handling,
    writes,
    kind,
    request: messageRule(request, 'request'),
    response: messageRule(response, 'response'),
  };
}
