import type { Administration } from '../../administration/administration.js';
import type { Overview } from '../../administration/overview.js';
import { NotFound } from '../../broker/errors.js';
import { unitsOf } from '../../broker/units.js';
import { mostConnections } from '../../portal/limits/gauges.js';
import { LastKnown } from '../last-known.js';
import { overviewScreen } from '../screens/overview.js';
import type { Page } from '../visit.js';

export function overviewPage(administration: Administration): Page {
  const { catalog, service } = administration.parts;
  const last = new LastKnown<Overview>();
  return async ({ instance, since }) => {
    const known = await last.get(instance.deployment_id, () => administration.overview(instance), since);
    if (known === undefined) {
      throw new NotFound('This service instance does not exist any more.');
    }
    const plan = catalog.findPlan(instance.service_id, instance.plan_id)?.name ?? 'no longer offered';
    const portals = service.names === 'portal' ? service.endpoints.length : 1;
    return {
      ...(known.since === undefined ? {} : { since: known.since }),
      content: overviewScreen({
        instance,
        plan,
        overview: known.value,
        service,
        mostConnections:
          portals * mostConnections(unitsOf(instance.parameters)) * Math.max(1, known.value.bindings.length),
      }),
    };
  };
}
