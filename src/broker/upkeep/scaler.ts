import type { Catalog } from '../../catalog/types.js';
import { Periodic } from '../../periodic.js';
import type { InstanceRecord, JsonObject, Stored } from '../model.js';
import type { BrokerParts } from '../parts.js';
import type { OnMalformed } from '../ports.js';
import { Turns } from '../requests/turns.js';
import { update } from '../requests/update.js';
import { MOST_UNITS, unitsOf } from '../units.js';

const LOOK_MS = 60_000;
/** Units are added when so much of them is used. */
const FULL = 0.9;

export interface ScalerParts {
  broker: BrokerParts;
  catalog: Catalog;
  instances(onMalformed?: OnMalformed): AsyncIterable<Stored<InstanceRecord>>;
  /** Is told of each instance that got more units, for metrics. */
  observe: () => void;
}

/**
 * Adds units to instances that asked for it (`auto_scaling`) before they are full, as Compose did: it looks once a
 * minute and never takes any away. Every replica looks; what one comes to is the same number, so it does not matter
 * which of them writes it.
 */
export class Scaler {
  readonly #periodic: Periodic;
  readonly #turns = new Turns();

  constructor(readonly parts: ScalerParts) {
    this.#periodic = new Periodic({
      what: 'Looking for instances that need more units',
      intervalMs: LOOK_MS,
      longestPauseMs: LOOK_MS,
      run: (stopping) => this.look(stopping),
      log: parts.broker.log,
    });
  }

  start(): void {
    this.#periodic.start();
  }

  stop(): Promise<void> {
    return this.#periodic.stop();
  }

  /** Looks once. */
  async look(stopping?: AbortSignal): Promise<void> {
    const { broker, catalog, observe } = this.parts;
    // One that can't be read is told of by whoever needs it.
    for await (const { value: instance } of this.parts.instances(() => undefined)) {
      stopping?.throwIfAborted();
      if (instance.state !== 'ready' || mostUnits(instance.parameters) === undefined) {
        continue;
      }
      const { instance_id, service_id, plan_id, deployment_id } = instance;
      const unitBytes = catalog.findPlan(service_id, plan_id)?.settings.quotaBytes;
      const stored = await broker.records.storedBytes(deployment_id);
      const units = unitBytes && stored && neededUnits(instance.parameters, stored, unitBytes);
      if (!units) {
        continue;
      }
      const request = {
        instance_id,
        service_id,
        parameters: { units },
        acceptsIncomplete: false,
        hasPortals: true,
      };
      try {
        await update(broker, catalog, this.#turns, request);
        observe();
        broker.log.info(
          { deployment: deployment_id, units },
          'Units were added to an instance that was nearly full',
        );
      } catch (error) {
        // One that is being deleted, or whose plan allows no more, must not keep the others waiting.
        const details = { deployment: deployment_id, reason: (error as Error).message };
        broker.log.warn(details, 'Units could not be added to an instance');
      }
    }
  }
}

/** @returns undefined where none are to be added by themselves */
function mostUnits({ auto_scaling }: JsonObject): number | undefined {
  const most = (auto_scaling as JsonObject | undefined)?.max_units;
  return typeof most === 'number' && Number.isInteger(most) && most >= 1
    ? Math.min(most, MOST_UNITS)
    : undefined;
}

/**
 * How many units an instance needs by what it holds.
 * @returns undefined when those that it has will do, or it may have no more
 */
export function neededUnits(
  parameters: JsonObject,
  storedBytes: number,
  unitBytes: number,
): number | undefined {
  const units = unitsOf(parameters);
  const most = mostUnits(parameters) ?? units;
  if (storedBytes < FULL * units * unitBytes) {
    return undefined;
  }
  const needed = Math.min(most, Math.max(units + 1, Math.ceil(storedBytes / (FULL * unitBytes))));
  return needed > units ? needed : undefined;
}
