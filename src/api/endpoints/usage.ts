import type { Administration } from '../../administration/administration.js';
import { isUsageRange } from '../../administration/usage-report.js';
import { type ApiEndpoint, DEPLOYMENT } from '../endpoint.js';
import { USAGE_RANGE_SCHEMA, USAGE_SCHEMA } from '../schemas.js';

/** What the instance used. */
export function usageEndpoints(admin: Administration): ApiEndpoint[] {
  return [
    {
      method: 'get',
      path: `${DEPLOYMENT}/usage`,
      summary: 'What the instance used, as its portals saw it, the oldest first',
      query: { range: USAGE_RANGE_SCHEMA },
      status: 200,
      answer: USAGE_SCHEMA,
      handle: async ({ instance, request }) => {
        const asked = request.query.range;
        const range = isUsageRange(asked) ? asked : '30m';
        const [points] = await admin.usage(instance, range);
        return { range, quota_bytes: admin.quotaBytes(instance), points };
      },
    },
  ];
}
