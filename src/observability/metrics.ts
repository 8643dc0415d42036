import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export interface Counts {
  instances: number;
  bindings: number;
  open: number;
}

const HTTP_BUCKETS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const ETCD_BUCKETS = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 4];
const OPERATION_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600];
const KINDS = ['provision', 'update', 'deprovision', 'bind', 'unbind'];

/**
 * The broker's metrics in the format of Prometheus, see docs/metrics.md. No label ever holds an id of the platform's.
 */
export class Metrics {
  readonly #registry = new Registry();
  readonly #requests = new Histogram({
    name: 'compose_etcd_http_request_duration_seconds',
    help: 'Requests by method, route and status, and how long their answers took.',
    labelNames: ['method', 'route', 'status'] as const,
    buckets: HTTP_BUCKETS,
    registers: [this.#registry],
  });
  /** Looking a series up by its labels costs more than counting. There are as many as in the registry. */
  readonly #series = new Map<string, { observe(seconds: number): void }>();
  readonly #operations = new Counter({
    name: 'compose_etcd_operations_total',
    help: 'Operations that ended, by kind and result.',
    labelNames: ['kind', 'result'] as const,
    registers: [this.#registry],
  });
  readonly #operationDurations = new Histogram({
    name: 'compose_etcd_operation_duration_seconds',
    help: 'How long operations took from their begin to their end, by kind, through restarts too.',
    labelNames: ['kind'] as const,
    buckets: OPERATION_BUCKETS,
    registers: [this.#registry],
  });
  readonly #etcdCalls = new Histogram({
    name: 'compose_etcd_etcd_call_duration_seconds',
    help: 'Calls to etcd by method and outcome ("ok" or the kind of error), and how long they took.',
    labelNames: ['method', 'outcome'] as const,
    buckets: ETCD_BUCKETS,
    registers: [this.#registry],
  });
  readonly #instances = this.#gauge('instances', 'Instances in the records, the same at every replica.');
  readonly #bindings = this.#gauge('bindings', 'Bindings in the records, the same at every replica.');
  readonly #open = this.#gauge('open_operations', 'Operations under way, the same at every replica.');
  readonly #alarms = new Gauge({
    name: 'compose_etcd_cluster_alarm',
    help: "1 for each of etcd's alarms that is raised, the same at every replica.",
    labelNames: ['alarm'] as const,
    registers: [this.#registry],
  });
  readonly #unknownNames = this.#gauge(
    'unknown_names',
    'Roles and users that no record names and that are left alone since they are so many; see check.',
  );
  readonly #ready = this.#gauge(
    'ready',
    '1 when etcd answers, records can be written and no alarm is raised, as /ready says.',
  );
  readonly #guessing = new Counter({
    name: 'compose_etcd_sign_in_limit_reached_total',
    help: 'How often an address was turned away for a minute for wrong credentials.',
    registers: [this.#registry],
  });
  readonly #backups = new Counter({
    name: 'compose_etcd_backups_total',
    help: 'Backups by the schedule, by what became of them: made, failed (and tried again), removed after their time.',
    labelNames: ['outcome'] as const,
    registers: [this.#registry],
  });
  readonly #scaled = new Counter({
    name: 'compose_etcd_auto_scalings_total',
    help: 'How often an instance got more units since it was nearly full.',
    registers: [this.#registry],
  });
  readonly #expiry = new Gauge({
    name: 'compose_etcd_certificate_expiry_timestamp_seconds',
    help: "When a certificate of the embedded etcd's authority expires, in seconds since 1970.",
    labelNames: ['certificate'] as const,
    registers: [this.#registry],
  });

  /** @param version the broker's own */
  constructor(version: string) {
    collectDefaultMetrics({ register: this.#registry });
    new Gauge({
      name: 'compose_etcd_build_info',
      help: '1, with the versions of the broker and of Node.js.',
      labelNames: ['version', 'node'] as const,
      registers: [this.#registry],
    }).set({ version, node: process.versions.node }, 1);
    for (const kind of KINDS) {
      this.#operationDurations.zero({ kind });
      for (const result of ['succeeded', 'failed']) {
        this.#operations.inc({ kind, result }, 0);
      }
    }
    for (const outcome of ['made', 'failed', 'removed'] as const) {
      this.#backups.inc({ outcome }, 0);
    }
    this.setAlarms([]);
    this.#guessing.inc(0);
    this.#scaled.inc(0);
  }

  request(method: string, route: string, status: number, seconds: number): void {
    this.#observe(this.#requests, `${method} ${route} ${status}`, seconds, method, route, String(status));
  }

  /** @param seconds since it began */
  operation(kind: string, result: string, seconds: number): void {
    this.#operations.labels(kind, result).inc();
    this.#operationDurations.labels(kind).observe(seconds);
  }

  etcdCall(method: string, outcome: string, seconds: number): void {
    this.#observe(this.#etcdCalls, `${method} ${outcome}`, seconds, method, outcome);
  }

  backup(outcome: 'made' | 'failed' | 'removed'): void {
    this.#backups.inc({ outcome });
  }

  scaled(): void {
    this.#scaled.inc();
  }

  guessLimitReached(): void {
    this.#guessing.inc();
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
    this.#instances.set(instances);
    this.#bindings.set(bindings);
    this.#open.set(open);
  }

  /** @param expiry in milliseconds since 1970, by the certificate's name */
  setCertificates(expiry: Iterable<readonly [certificate: string, expiry: number]>): void {
    for (const [certificate, at] of expiry) {
      this.#expiry.labels(certificate).set(at / 1_000);
    }
  }

  #gauge(name: string, help: string): Gauge {
    return new Gauge({ name: `compose_etcd_${name}`, help, registers: [this.#registry] });
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
