import type { InstanceRecord, Stored } from '../model.js';

const MOST_INSTANCES = 2_000;
/** Larger records are read each time: `context` and `parameters` may be long, and the cache has a bound in bytes too. */
const MOST_CHARACTERS = 16_384;

/**
 * Instances as they were last seen, so that a bind need not read its instance first. What is decided on a cached
 * record is only ever carried out by a transaction that compares the record's revision, so an old one costs one
 * more round and nothing else.
 */
export class InstanceCache {
  readonly #seen = new Map<string, Stored<InstanceRecord>>();

  get(instanceId: string): Stored<InstanceRecord> | undefined {
    return this.#seen.get(instanceId);
  }

  /** Undefined means that the instance does not exist. */
  set(instanceId: string, stored: Stored<InstanceRecord> | undefined): void {
    this.#seen.delete(instanceId);
    if (stored === undefined || isLarge(stored.value)) {
      return;
    }
    this.#seen.set(instanceId, stored);
    if (this.#seen.size > MOST_INSTANCES) {
      this.#seen.delete(this.#seen.keys().next().value as string);
    }
  }
}

function isLarge({ context, parameters }: InstanceRecord): boolean {
  return JSON.stringify([context, parameters]).length > MOST_CHARACTERS;
}
