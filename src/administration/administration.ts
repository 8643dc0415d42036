import { randomBytes } from 'node:crypto';
import type { Response } from 'express';
import { BackupUnderWay } from '../backups/backup-records.js';
import type { Backups } from '../backups/backups.js';
import type { BackupManifest } from '../backups/manifest.js';
import { Conflict, InvalidRequest, NotFound } from '../broker/errors.js';
import type {
  BindingRecord,
  InstanceRecord,
  JsonObject,
  OperationKind,
  OperationRecord,
} from '../broker/model.js';
import { finish, openOperation } from '../broker/operations/operations.js';
import { rotatePassword } from '../broker/requests/rotate-password.js';
import { Turns } from '../broker/requests/turns.js';
import { update } from '../broker/requests/update.js';
import { MOST_UNITS, unitsOf } from '../broker/units.js';
import { bindingCredentials } from '../credentials/binding-credentials.js';
import type { OsbContext } from '../osb/context.js';
import type { ApiTokens } from '../records/api-tokens.js';
import { keys } from '../records/keys.js';
import { withTimeout } from '../timing.js';
import { firstMinute, type UsageSeries } from '../usage/series.js';
import { sendBackup } from './download.js';
import type { KeyBrowser, KeyGuard, KeyPlace, KeySpaceCount } from './key-browser.js';
import { type BindingSummary, type Overview, summaryOf } from './overview.js';
import { type ReportPoint, USAGE_RANGES, type UsageRange, usageReport } from './usage-report.js';
import { type WhitelistEntry, whitelistOf } from './whitelist.js';

/** A backup that can't be made is mostly refused within this time. */
const REFUSED_WITHIN_MS = 200;
/** Where the operator has taken the plan out of the catalog. */
const USUAL_UNIT_BYTES = 256 << 20;
/** So many bindings and operations are told of. */
const MOST_BINDINGS = 500;
const MOST_OPERATIONS = 20;
/** An operation on a binding is looked for among so many. */
const MOST_SEARCHED = 1_000;

export interface AdministrationParts extends OsbContext {
  /** Absent where no backups are made. */
  copies?: Backups | undefined;
  keyBrowser: KeyBrowser;
  etcdVersion(): Promise<string>;
  usage: UsageSeries;
  tokens: ApiTokens;
}

/** What people and scripts do with an instance without its platform: the API and the dashboard stand on it. */
export class Administration {
  readonly #turns = new Turns();

  constructor(readonly parts: AdministrationParts) {}

  /** Whether there are portals, which count what instances use. */
  get hasPortals(): boolean {
    return this.parts.service.names === 'portal';
  }

  get hasBackups(): boolean {
    return this.parts.copies !== undefined;
  }

  /** @throws InvalidRequest where no backups are made */
  get backups(): Backups {
    if (this.parts.copies === undefined) {
      throw new InvalidRequest('This service broker makes no backups.');
    }
    return this.parts.copies;
  }

  /** How many bytes one unit is, by the instance's plan. */
  unitBytes({ service_id, plan_id }: InstanceRecord): number {
    return this.parts.catalog.findPlan(service_id, plan_id)?.settings.quotaBytes ?? USUAL_UNIT_BYTES;
  }

  /** The most units that the instance's plan allows. */
  mostUnits({ service_id, plan_id }: InstanceRecord): number {
    const validate = this.parts.catalog.findPlan(service_id, plan_id)?.validators.update;
    let units = MOST_UNITS;
    while (units > 1 && validate !== undefined && validate({ units }).length > 0) {
      units -= 1;
    }
    return units;
  }

  quotaBytes(instance: InstanceRecord): number {
    return this.unitBytes(instance) * unitsOf(instance.parameters);
  }

  async overview(instance: InstanceRecord): Promise<Overview> {
    const { broker, keyBrowser } = this.parts;
    const { instance_id, deployment_id } = instance;
    const [etcdVersion, stored, connections, keySpaces, bindings, operations] = await Promise.all([
      this.parts.etcdVersion(),
      broker.records.storedBytes(deployment_id),
      this.parts.usage.connections(deployment_id),
      keyBrowser.keySpaces(deployment_id),
      this.#bindings(instance_id),
      this.operations(instance),
    ]);
    return {
      etcdVersion,
      fill: {
        ...(stored === undefined ? {} : { stored }),
        ...(this.hasPortals ? { connections } : {}),
        quota: this.quotaBytes(instance),
        keys: keySpaces.reduce((sum, { keys }) => sum + keys, 0),
      },
      keySpaces,
      bindings: bindings.slice(0, MOST_BINDINGS).map(summaryOf),
      hasMoreBindings: bindings.length > MOST_BINDINGS,
      operations,
    };
  }

  /**
   * What the instance used, as its portals saw it.
   * @param steps minutes in a point, for several reports of the same time; the range's own where not given
   * @throws InvalidRequest where there are no portals
   */
  async usage(
    { deployment_id }: InstanceRecord,
    range: UsageRange,
    steps: readonly number[] = [USAGE_RANGES[range].step],
  ): Promise<ReportPoint[][]> {
    if (!this.hasPortals) {
      throw new InvalidRequest('This service broker runs without portals, which count what instances use.');
    }
    const now = Date.now();
    const { minutes, step } = USAGE_RANGES[range];
    const points = await this.parts.usage.read(deployment_id, minutes, step, now);
    return steps.map((each) => usageReport(points, firstMinute(minutes, each, now), each, now));
  }

  /** Names, and how many keys each holds. */
  keySpaces({ deployment_id }: InstanceRecord): Promise<KeySpaceCount[]> {
    return this.parts.keyBrowser.keySpaces(deployment_id);
  }

  /**
   * Replaces a binding's password.
   * @returns the credentials with the new one, which no platform knows
   * @throws InvalidRequest where there are no portals, NotFound, ConcurrencyError
   */
  async rotatePassword(
    { instance_id }: InstanceRecord,
    bindingId: string,
  ): Promise<{ credentials: { [field: string]: unknown }; operation: OperationRecord }> {
    if (!this.hasPortals) {
      throw new InvalidRequest(
        'This service broker runs without portals, and applications sign in to etcd itself. Make another binding, and delete this one.',
      );
    }
    const { broker, service } = this.parts;
    const { binding, operation } = await rotatePassword(broker, instance_id, bindingId);
    return { credentials: bindingCredentials(broker, service, binding), operation };
  }

  /** Without their secrets, at most 500. */
  async bindings({ instance_id }: InstanceRecord): Promise<BindingSummary[]> {
    return (await this.#bindings(instance_id)).slice(0, MOST_BINDINGS).map(summaryOf);
  }

  async #bindings(instanceId: string): Promise<BindingRecord[]> {
    const found: BindingRecord[] = [];
    for await (const { value } of this.parts.broker.records.bindings(instanceId, () => undefined)) {
      found.push(value);
      if (found.length > MOST_BINDINGS) {
        break;
      }
    }
    return found;
  }

  /** An operation of the last day on an instance or one of its bindings. */
  async operation({ instance_id }: InstanceRecord, id: string): Promise<OperationRecord | undefined> {
    const { records } = this.parts.broker;
    const own = await records.readOperation(instance_id, undefined, id);
    return own ?? (await records.recentOperations(instance_id, MOST_SEARCHED)).find((each) => each.id === id);
  }

  /** What is under way on an instance itself, then what ended last on it and its bindings, at most 20. */
  async operations({ instance_id, work }: InstanceRecord): Promise<OperationRecord[]> {
    const { records } = this.parts.broker;
    const [underWay, ended] = await Promise.all([
      work && records.readOperation(instance_id, undefined, work.operation_id),
      records.recentOperations(instance_id, MOST_OPERATIONS),
    ]);
    const others = ended.filter(({ id }) => id !== underWay?.id);
    return [...(underWay === undefined ? [] : [underWay]), ...others].slice(0, MOST_OPERATIONS);
  }

  /**
   * Changes an instance as its platform would.
   * @returns the operation that it was, or is
   * @throws BrokerError of `update`
   */
  async change(instance: InstanceRecord, parameters: JsonObject): Promise<OperationRecord> {
    const { broker, catalog, service } = this.parts;
    const { instance_id, service_id } = instance;
    const answer = await update(broker, catalog, this.#turns, {
      instance_id,
      service_id,
      parameters,
      acceptsIncomplete: true,
      hasPortals: service.names === 'portal',
    });
    const operationId = answer.kind === 'accepted' ? answer.operationId : undefined;
    const operation = await broker.records.readOperation(instance_id, undefined, operationId);
    if (operation === undefined) {
      throw new NotFound('The operation is not remembered.');
    }
    return operation;
  }

  /** Puts an entry into the whitelist, in place of one with the same address. */
  allow(instance: InstanceRecord, entry: WhitelistEntry): Promise<OperationRecord> {
    const others = whitelistOf(instance).filter(({ ip }) => ip !== entry.ip);
    return this.change(instance, { whitelist: [...others, entry] });
  }

  /** @throws NotFound when no entry is as `isIt` says */
  disallow(instance: InstanceRecord, isIt: (entry: WhitelistEntry) => boolean): Promise<OperationRecord> {
    const before = whitelistOf(instance);
    const whitelist = before.filter((entry) => !isIt(entry));
    if (whitelist.length === before.length) {
      throw new NotFound('There is no such entry in the whitelist.');
    }
    return this.change(instance, { whitelist });
  }

  /**
   * Begins a backup on demand. What is refused at once is told at once.
   * @returns what names it among the operations
   * @throws InvalidRequest
   */
  async startBackup(instance: InstanceRecord): Promise<string> {
    const id = `backup-${randomBytes(8).toString('hex')}`;
    const taking = this.backups.take(instance, 'on_demand', { operationId: id });
    taking.catch((error: Error) => {
      const details = { instance: instance.instance_id, reason: error.message };
      this.parts.broker.log.warn(details, 'A backup on demand failed');
    });
    await withTimeout(taking, REFUSED_WITHIN_MS).catch((error: unknown) => {
      throw error instanceof BackupUnderWay ? new InvalidRequest(error.message) : error;
    });
    return id;
  }

  /** Answers with the keys of a backup. @throws NotFound, InvalidRequest */
  async sendBackup(response: Response, instance: InstanceRecord, backupId: string): Promise<void> {
    await sendBackup(response, this.backups, await this.backup(instance, backupId));
  }

  /** @throws NotFound, InvalidRequest */
  async backup({ instance_id }: InstanceRecord, backupId: string): Promise<BackupManifest> {
    const found = await this.backups.find(instance_id, backupId);
    if (found === undefined) {
      throw new NotFound('There is no such backup.');
    }
    return found;
  }

  /**
   * Writes one key, by hand. Portals count it with their next scan.
   * @throws InvalidRequest when the instance is full, and what {@link KeyBrowser.put} throws
   */
  async putKey(instance: InstanceRecord, place: KeyPlace, value: Buffer, seen: string): Promise<void> {
    const { broker, keyBrowser } = this.parts;
    const guard = await this.#guard(instance);
    const stored = (await broker.records.storedBytes(instance.deployment_id)) ?? 0;
    if (stored + place.key.length + value.length > this.quotaBytes(instance)) {
      throw new InvalidRequest('The instance is full. Delete keys, or add units in the settings.');
    }
    await keyBrowser.put(place, value, seen, guard);
    await this.#record(instance, 'edit', 'a key was written by hand');
  }

  /** Deletes one key, by hand. @throws what {@link KeyBrowser.delete} throws */
  async deleteKey(instance: InstanceRecord, place: KeyPlace, seen: string): Promise<void> {
    await this.parts.keyBrowser.delete(place, seen, await this.#guard(instance));
    await this.#record(instance, 'edit', 'a key was deleted by hand');
  }

  /**
   * Makes a token of the administration API.
   * @throws InvalidRequest when the instance has as many as one may have
   */
  async makeToken(instance: InstanceRecord, description: string): Promise<string> {
    const made = await this.parts.tokens.create(instance.instance_id, description);
    if (made === undefined) {
      throw new InvalidRequest('The instance has as many tokens as one may have. Revoke one first.');
    }
    await this.#record(instance, 'token', `the API token ${made.id} was made`);
    return made.token;
  }

  /** @throws NotFound */
  async revokeToken(instance: InstanceRecord, id: string): Promise<void> {
    if (!(await this.parts.tokens.revoke(instance.instance_id, id))) {
      throw new NotFound('There is no such token.');
    }
    await this.#record(instance, 'token', `the API token ${id} was revoked`);
  }

  /** Among the operations, for whoever looks later. What is done stays done if this fails. */
  async #record({ instance_id }: InstanceRecord, kind: OperationKind, description: string): Promise<void> {
    const { records, session, log } = this.parts.broker;
    const operation = finish(openOperation(kind, { instance_id }, session.id), 'succeeded', description);
    try {
      await records.change({ finished: [operation] });
    } catch (error) {
      log.warn({ instance: instance_id, reason: (error as Error).message }, `Not recorded: ${description}`);
    }
  }

  /** That the instance is there and stays as it is: not restored or removed meanwhile. */
  async #guard({ instance_id }: InstanceRecord): Promise<KeyGuard> {
    const stored = await this.parts.broker.records.readInstance(instance_id);
    if (stored === undefined) {
      throw new NotFound('This service instance does not exist any more.');
    }
    if (stored.value.state !== 'ready') {
      throw new Conflict(`The instance is ${stored.value.state}. Write when it is ready.`);
    }
    return { key: keys.instance(instance_id), revision: stored.revision };
  }
}
