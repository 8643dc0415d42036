import { AggregatorRegistry } from 'prom-client';

export type Labels = Readonly<Record<string, string | number>>;

interface Value {
  readonly labels: Labels;
  readonly value: number;
  readonly metricName?: string;
}

/** A metric as prom-client writes it for another process, see its `getMetricsAsJSON`. */
interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly aggregator: 'sum';
  readonly values: Value[];
}

/** Metrics that are not counted here but told, such as those of a portal's thread. */
export class Exposition {
  readonly #metrics = new Map<string, Metric>();

  counter(name: string, help: string): (value: number, labels: Labels) => void {
    return this.#plain('counter', name, help);
  }

  gauge(name: string, help: string): (value: number, labels: Labels) => void {
    return this.#plain('gauge', name, help);
  }

  /**
   * @param bounds of the buckets, in the metric's unit
   * @returns takes how many fell into each bucket, not added up, the last for all beyond, and the sum of all values
   */
  histogram(
    name: string,
    help: string,
    bounds: readonly number[],
  ): (counts: readonly number[], sum: number, labels: Labels) => void {
    const { values } = this.#metric('histogram', name, help);
    return (counts, sum, labels) => {
      let total = 0;
      for (const [index, count] of counts.entries()) {
        total += count;
        const le = bounds[index] ?? '+Inf';
        values.push({ metricName: `${name}_bucket`, labels: { ...labels, le }, value: total });
      }
      values.push({ metricName: `${name}_sum`, labels, value: sum });
      values.push({ metricName: `${name}_count`, labels, value: total });
    };
  }

  /** In the format of Prometheus. */
  text(): Promise<string> {
    return AggregatorRegistry.aggregate([[...this.#metrics.values()]]).metrics();
  }

  #plain(type: 'counter' | 'gauge', name: string, help: string) {
    const { values } = this.#metric(type, name, help);
    return (value: number, labels: Labels) => {
      values.push({ labels, value });
    };
  }

  #metric(type: Metric['type'], name: string, help: string): Metric {
    const metric: Metric = { name, help, type, aggregator: 'sum', values: [] };
    this.#metrics.set(name, metric);
    return metric;
  }
}
