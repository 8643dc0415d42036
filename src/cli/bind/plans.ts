import type { Answer } from './broker-client.js';

/** A plan that can be had, with the service that it is of. */
export interface Offer {
  service: string;
  service_id: string;
  tags: readonly string[];
  plan: string;
  plan_id: string;
}

interface Catalog {
  services?: {
    id: string;
    name: string;
    tags?: string[];
    plans?: { id: string; name: string }[];
  }[];
}

/** All plans of a broker's catalog, in its order. */
export function offers(body: Answer['body']): Offer[] {
  return ((body as Catalog).services ?? []).flatMap(({ id, name, tags = [], plans = [] }) =>
    plans.map((plan) => ({ service: name, service_id: id, tags, plan: plan.name, plan_id: plan.id })),
  );
}

/** The plan that an instance has. @throws Error when the catalog has it no more */
export function offerOf(known: readonly Offer[], { planId }: { planId?: string | undefined }): Offer {
  const offer = known.find(({ plan_id }) => plan_id === planId);
  if (offer === undefined) {
    throw new Error(`The service instance has the plan ${planId}, which the broker offers no more.`);
  }
  return offer;
}
