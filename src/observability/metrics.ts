import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export interface Counts {
  instances: number;
  bindings: number;
  open: number;
}

/** The broker's metrics in the format of Prometheus. Times are in seconds. No label ever holds an id of the platform's. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #requests = new Histogram({
    name: 'broker_http_request_duration_seconds',
    help: 'Requests by method, route and status, and how long their answers took.',
    labelNames: ['method', 'route', 'status'] as const,
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [this.#registry],
  });
  /** Looking a series up by its labels costs more than counting. There are as many as in the registry. */
  readonly #series = new Map<string, { observe(seconds: number): void }>();
  readonly #operations = new Counter({
    name: 'broker_operations_total',
    help: 'Operations that ended, by kind and result.',
    labelNames: ['kind', 'result'] as const,
    registers: [this.#registry],
  });
  readonly #etcdCalls = new Histogram({
    name: 'broker_etcd_call_duration_seconds',
    help: 'Calls to etcd by method and outcome ("ok" or the kind of error), and how long they took.',
    labelNames: ['method', 'outcome'] as const,
    buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 4],
    registers: [this.#registry],
  });
  readonly #counts = new Gauge({
    name: 'broker_records',
    help: 'Instances, bindings and open operations in the records, over all replicas.',
    labelNames: ['what'] as const,
    registers: [this.#registry],
  });
  readonly #alarms = new Gauge({
    name: 'broker_etcd_alarm',
    help: "1 for each of etcd's alarms that is raised.",
    labelNames: ['alarm'] as const,
    registers: [this.#registry],
  });
  readonly #unknownNames = new Gauge({
    name: 'broker_unknown_names',
    help: 'Roles and users that no record names and that are left alone since they are so many; see check.',
    registers: [this.#registry],
  });
  readonly #ready = new Gauge({
    name: 'broker_ready',
    help: '1 when etcd answers, records can be written and no alarm is raised, as /ready says.',
    registers: [this.#registry],
  });

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
  }

  request(method: string, route: string, status: number, seconds: number): void {
    this.#observe(this.#requests, `${method} ${route} ${status}`, seconds, method, route, String(status));
  }

  operation(kind: string, result: string): void {
    this.#operations.labels(kind, result).inc();
  }

  etcdCall(method: string, outcome: string, seconds: number): void {
    this.#observe(this.#etcdCalls, `${method} ${outcome}`, seconds, method, outcome);
  }

  setReady(isReady: boolean): void {
    this.#ready.set(isReady ? 1 : 0);
  }

  setUnknownNames(count: number): void {
    this.#unknownNames.set(count);
  }

  setAlarms(raised: readonly string[]): void {
    for (const alarm of new Set(['NOSPACE', 'CORRUPT', ...raised])) {
      this.#alarms.labels(alarm).set(raised.includes(alarm) ? 1 : 0);
    }
  }

  setCounts({ instances, bindings, open }: Counts): void {
    this.#counts.labels('instances').set(instances);
    this.#counts.labels('bindings').set(bindings);
    this.#counts.labels('open_operations').set(open);
  }

  #observe<T extends string>(
    histogram: Histogram<T>,
    key: string,
    seconds: number,
    ...labels: string[]
  ): void {
    let series = this.#series.get(key);
    if (series === undefined) {
      series = histogram.labels(...labels);
      this.#series.set(key, series);
    }
    series.observe(seconds);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }
}
