import { type ReportPoint, USAGE_RANGES, type UsageRange } from '../../administration/usage-report.js';
import { bytes, empty, moment, number } from '../frame.js';
import { type Html, html } from '../html.js';

export interface MetricsScreen {
  base: string;
  range: UsageRange;
  /** Coarse enough for a table; absent where there are no portals. */
  points?: readonly ReportPoint[];
}

const NAMES: Readonly<Record<UsageRange, string>> = {
  '30m': '30 minutes',
  '6h': '6 hours',
  '24h': '24 hours',
  '7d': '7 days',
  '30d': '30 days',
};

const CHARTS = [
  ['requests', 'Requests', 'a second, by kind'],
  ['latency', 'Latency', 'of requests, without streams'],
  ['stored', 'Stored bytes', 'and the quota'],
  ['connections', 'Connections', 'at all portals'],
] as const;

/** Graphs of what the instance used, and the same as a table. */
export function metricsScreen({ base, range, points }: MetricsScreen): Html {
  if (points === undefined) {
    return html`<section class="card"><h1>Metrics</h1>${empty('This service broker runs without portals, which count what instances use.')}</section>`;
  }
  const ranges = Object.keys(USAGE_RANGES) as UsageRange[];
  return html`<div class="row"><h1>Metrics</h1><nav aria-label="Time"><ul class="ranges">
${ranges.map((name) => html`<li><a href="${base}/metrics?range=${name}"${name === range && html` aria-current="page"`}>${NAMES[name]}</a></li>`)}
</ul></nav></div>
<div class="charts" data-charts="${base}/metrics/series?range=${range}">
${CHARTS.map(
  ([name, title, hint]) =>
    html`<section class="card" aria-labelledby="${name}"><h2 id="${name}">${title} <small>${hint}</small></h2><div class="chart" data-chart="${name}"><p class="empty">${title} as a graph needs scripts. The figures are in the table.</p></div></section>`,
)}
</div>
<section class="card" aria-labelledby="figures"><h2 id="figures">Figures</h2><p class="hint">Counts of the time that begins with the line; stored bytes, keys and connections at their highest.</p>${table(points)}</section>`;
}

function table(points: readonly ReportPoint[]): Html {
  const heads = ['From', 'Reads', 'Writes', 'Leases', 'Watches', 'Others', 'Errors', 'p50', 'p99', 'Stored'];
  return html`<div class="scroll" tabindex="0" role="region" aria-labelledby="figures"><table class="figures"><thead><tr>
${[...heads, 'Keys', 'Connections'].map((head) => html`<th scope="col">${head}</th>`)}
</tr></thead><tbody>
${[...points].reverse().map(line)}
</tbody></table></div>`;
}

function line(point: ReportPoint): Html {
  const { reads, writes, leases, watches, others, errors, connections } = point;
  return html`<tr><td>${moment(point.time)}</td>${[reads, writes, leases, watches, others, errors].map((count) => html`<td>${number(count)}</td>`)}<td>${milliseconds(point.p50_seconds)}</td><td>${milliseconds(point.p99_seconds)}</td><td>${point.stored_bytes === null ? '–' : bytes(point.stored_bytes)}</td><td>${point.keys === null ? '–' : number(point.keys)}</td><td>${number(connections)}</td></tr>
`;
}

function milliseconds(seconds: number | null): string {
  return seconds === null ? '–' : `${(seconds * 1_000).toFixed(1)} ms`;
}
