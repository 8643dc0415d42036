import type { Response } from 'express';
import type { Administration } from '../../administration/administration.js';
import {
  isUsageRange,
  type ReportPoint,
  USAGE_RANGES,
  type UsageRange,
} from '../../administration/usage-report.js';
import { type Known, LastKnown } from '../last-known.js';
import { metricsScreen } from '../screens/metrics.js';
import type { Page, Visit } from '../visit.js';

type Looked = Pick<Visit, 'instance' | 'since'>;

/** How many minutes are in a line of the table. */
const TABLE_STEPS: Readonly<Record<UsageRange, number>> = {
  '30m': 1,
  '6h': 15,
  '24h': 60,
  '7d': 360,
  '30d': 1_440,
};

/** What the graphs show. */
const COLUMNS = [
  'time',
  'seconds',
  'reads',
  'writes',
  'leases',
  'watches',
  'others',
  'errors',
  'p50_seconds',
  'p99_seconds',
  'stored_bytes',
  'connections',
] as const satisfies readonly (keyof ReportPoint)[];

/** The screen Metrics, and the figures that its graphs are drawn from. */
export class MetricsPages {
  readonly #last = new LastKnown<ReportPoint[][]>();

  constructor(readonly administration: Administration) {}

  readonly page: Page = async (visit, request) => {
    const { base } = visit;
    const range = rangeOf(request.query.range);
    if (!this.administration.hasPortals) {
      return { content: metricsScreen({ base, range }) };
    }
    const { value, since } = await this.#read(visit, range);
    return {
      ...(since === undefined ? {} : { since }),
      content: metricsScreen({ base, range, points: value[1] ?? [] }),
      scripts: ['uplot', 'charts'],
      styles: ['uplotStyle'],
    };
  };

  /**
   * Answers with the figures as JSON, a list for each, which is a quarter of the length of a list of points.
   * @throws InvalidRequest where there are no portals
   */
  async series(visit: Looked, asked: unknown, response: Response): Promise<void> {
    const range = rangeOf(asked);
    const { value, since } = await this.#read(visit, range);
    response.json({
      quota_bytes: this.administration.quotaBytes(visit.instance),
      columns: Object.fromEntries(COLUMNS.map((name) => [name, value[0]?.map((point) => point[name])])),
      ...(since === undefined ? {} : { known_at: since }),
    });
  }

  async #read({ instance, since }: Looked, range: UsageRange): Promise<Known<ReportPoint[][]>> {
    const steps = [USAGE_RANGES[range].step, TABLE_STEPS[range]];
    const known = await this.#last.get(
      `${instance.deployment_id}/${range}`,
      () => this.administration.usage(instance, range, steps),
      since,
    );
    return known as Known<ReportPoint[][]>;
  }
}

function rangeOf(asked: unknown): UsageRange {
  return isUsageRange(asked) ? asked : '30m';
}
