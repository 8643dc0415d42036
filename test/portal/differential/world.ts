import type { Message } from '../../../src/etcd/messages/codec.js';
import { TransportError } from '../../../src/etcd/transport/errors.js';
import { until } from '../support/portal.js';
import { RawClient, type RawStream } from '../support/raw-client.js';
import type { Fields, RevisionRef, Step, Value } from './program.js';

const FUTURE = 1_000_000_000;
/** No lease that there is. */
const NO_LEASE = '999999';
const CHOSEN_FROM = 100;
const ALL = { key: Buffer.from([0]), range_end: Buffer.from([0]) };
const BARRIER_MS = 10_000;

interface Watch {
  id: string;
  request: Fields;
  created: Message | undefined;
  canceled: Message | undefined;
  events: Message[];
}

/** One etcd, bare or what the portal shows: runs programs, and tells what was seen in terms that both share. */
export class World {
  readonly #client: RawClient;
  /** The revisions of the program's own writes, as they were told. */
  #writes: number[] = [];
  readonly #leases = new Map<number, string>();
  #watches: Watch[] = [];
  #stream: RawStream | undefined;
  #seen: unknown[] = [];
  #calls = 0;
  #floor = 0;

  private constructor(client: RawClient) {
    this.#client = client;
  }

  static async open(port: number, login: { username: string; password: string }): Promise<World> {
    return new World(await RawClient.open(port, login));
  }

  /** How many calls and events were checked. */
  get checked(): number {
    return this.#calls;
  }

  /** Runs a program on an empty key space. @returns what was seen, step by step, to be compared */
  async run(program: readonly Step[]): Promise<unknown[]> {
    await this.#clear();
    await this.#call('KV/Put', { key: Buffer.from('first'), value: Buffer.from('1') });
    try {
      for (const step of program) {
        await this.#step(step);
      }
      await this.#catchUp(this.#watches);
      await this.#call('KV/Range', ALL);
    } finally {
      this.#stream?.call.cancel();
      this.#stream = undefined;
    }
    const events = this.#watches.flatMap((watch) => watch.events);
    this.#calls += this.#seen.length + events.length;
    const heard = this.#watches.map(({ created, canceled, events }) => ({ created, canceled, events }));
    return this.#comparable([...this.#seen, ...heard]);
  }

  close(): void {
    this.#client.close();
  }

  async #clear(): Promise<void> {
    this.#floor = 0;
    this.#writes = [];
    this.#seen = [];
    this.#watches = [];
    this.#leases.clear();
    const { leases } = (await this.#client.call('Lease/LeaseLeases')) as { leases: { ID: string }[] };
    for (const { ID } of leases) {
      await this.#client.call('Lease/LeaseRevoke', { ID });
    }
    await this.#client.call('KV/DeleteRange', ALL);
  }

  async #step(step: Step): Promise<void> {
    switch (step.do) {
      case 'call':
        await this.#ask(step.name, this.#resolve(step.request) as object);
        break;
      case 'grant': {
        const ID = step.chosen ? String(CHOSEN_FROM + step.lease) : '0';
        const answer = await this.#call('Lease/LeaseGrant', { ID, TTL: step.ttl });
        if (answer !== undefined) {
          this.#leases.set(step.lease, answer.ID as string);
        }
        break;
      }
      case 'keep alive': {
        const stream = this.#client.stream('Lease/LeaseKeepAlive');
        stream.write({ ID: this.#lease(step.lease) });
        this.#seen.push(await stream.next());
        stream.call.end();
        this.#seen.push(await stream.ended());
        break;
      }
      case 'watch':
        await this.#watch(step.request);
        break;
      case 'cancel': {
        const watch = this.#watches[step.watch];
        await this.#catchUp(watch === undefined ? [] : this.#watches);
        if (watch !== undefined && watch.canceled === undefined) {
          this.#stream?.write({ cancel_request: { watch_id: watch.id } });
          await until(() => this.#drain() && watch.canceled !== undefined, BARRIER_MS);
        }
        break;
      }
      case 'compact':
        // What a watch has not told yet may be lost by a compaction, and when it tells it is not the program's.
        await this.#catchUp(this.#watches);
        await this.#compact(this.#resolve(step.request) as { revision: string });
        break;
    }
  }

  async #ask(name: string, request: object): Promise<void> {
    // Of a transaction the portal refuses what reads below its floor in either branch, etcd in the one that it takes.
    if (name !== 'KV/Txn' || !readsBelow(request, this.#floor)) {
      await this.#call(name, request);
    }
  }

  async #compact(request: { revision: string }): Promise<void> {
    if ((await this.#call('KV/Compact', request)) !== undefined) {
      this.#floor = Number(request.revision);
    }
  }

  async #call(name: string, request: object): Promise<Message | undefined> {
    try {
      const answer = await this.#client.call(name, request);
      const revision = Number((answer.header as { revision: string }).revision);
      const last = this.#writes.at(-1) ?? 0;
      if (revision < last) {
        throw new Error(`${name} was answered at revision ${revision} after a write at ${last}`);
      }
      if (hasWritten(answer)) {
        this.#writes.push(revision);
      }
      this.#seen.push(answer);
      return answer;
    } catch (error) {
      if (!(error instanceof TransportError)) {
        throw error;
      }
      // The portal looks for empty keys first, so of several mistakes it may name another.
      const isOneOfSeveral = name === 'KV/Txn' && error.code === 3 && hasEmptyKey(request);
      this.#seen.push(`${name}: ${error.code} ${isOneOfSeveral ? 'a mistake' : error.message}`);
      return undefined;
    }
  }

  async #watch(fields: Fields): Promise<void> {
    this.#stream ??= this.#client.stream('Watch/Watch');
    const request = this.#resolve(fields) as Fields;
    const watch: Watch = { id: '', request, created: undefined, canceled: undefined, events: [] };
    this.#watches.push(watch);
    this.#stream.write({ create_request: request });
    await until(() => this.#drain() && watch.created !== undefined, BARRIER_MS);
  }

  /** Gives each watch something to tell, and waits until all have told all: then nothing is under way any more. */
  async #catchUp(watches: readonly Watch[]): Promise<void> {
    const barriers: { key: Buffer; put: number; deletion: number }[] = [];
    // For those too that have ended, since one etcd may tell that before the other.
    for (const { request } of watches) {
      const { key } = request as { key: Buffer };
      await this.#call('KV/Put', { key, value: Buffer.from('barrier') });
      await this.#call('KV/DeleteRange', { key });
      const [put, deletion] = this.#writes.slice(-2) as [number, number];
      barriers.push({ key, put, deletion });
    }
    for (const watch of watches) {
      const last = barriers.findLast(({ key }) => covers(watch.request, key));
      if (last !== undefined) {
        const withoutDeletions = (watch.request.filters as unknown as number[] | undefined)?.[0] === 1;
        const revision = withoutDeletions ? last.put : last.deletion;
        const hasTold = () =>
          watch.events.some(({ kv }) => Number((kv as Message).mod_revision) === revision);
        await until(() => this.#drain() && (watch.canceled !== undefined || hasTold()), BARRIER_MS);
      }
    }
  }

  /** Sorts what has come on the stream by watch. @returns true, for conditions */
  #drain(): true {
    const stream = this.#stream;
    if (stream?.end !== undefined) {
      throw new Error(`The watch's stream has ended: ${stream.end.code} ${stream.end.message}`);
    }
    for (const message of stream?.messages.splice(0) ?? []) {
      const id = message.watch_id as string;
      const waiting = this.#watches.find(({ created }) => created === undefined);
      const watch = message.created
        ? waiting
        : this.#watches.find((each) => each.id === id && each.canceled === undefined);
      if (watch === undefined) {
        throw new Error(`A message for no watch: ${JSON.stringify(message)}`);
      }
      if (message.created) {
        watch.id = id;
        watch.created = message;
      }
      if (message.canceled) {
        watch.canceled = message;
      }
      watch.events.push(...(message.events as Message[]));
    }
    return true;
  }

  #lease(number: number): string {
    return number === 0 ? '0' : (this.#leases.get(number) ?? NO_LEASE);
  }

  #revision(of: RevisionRef): string {
    if (of === '0') {
      return '0';
    }
    if (of === 'future') {
      return String(FUTURE);
    }
    const place = of.write % this.#writes.length;
    const write = this.#writes[place] as number;
    // Before the first there is what an earlier program left.
    return String(of.before && place > 0 ? write - 1 : write);
  }

  #resolve(value: Value): unknown {
    if (Array.isArray(value)) {
      return value.map((item) => this.#resolve(item));
    }
    if (typeof value !== 'object' || Buffer.isBuffer(value)) {
      return value;
    }
    const { rev, lease } = value as { rev?: RevisionRef; lease?: number };
    if (rev !== undefined) {
      return this.#revision(rev);
    }
    if (typeof lease === 'number') {
      return this.#lease(lease);
    }
    return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, this.#resolve(field)]));
  }

  /** Revisions by their rank among the program's own, leases by their number; headers, which are each one's own, left out. */
  #comparable(seen: unknown[]): unknown[] {
    const own = new Set(this.#writes);
    const visit = (value: unknown, each: (name: string, value: unknown) => unknown): unknown => {
      if (Array.isArray(value)) {
        return value.map((item) => visit(item, each));
      }
      if (Buffer.isBuffer(value)) {
        return value.toString('latin1');
      }
      if (typeof value !== 'object' || value === null) {
        return value;
      }
      const fields = Object.entries(value).map(([name, field]) => [name, each(name, visit(field, each))]);
      return Object.fromEntries(fields.filter(([, field]) => field !== undefined));
    };
    visit(seen, (name, value) => {
      if (/^(create|mod)_revision$/.test(name) && value !== '0') {
        own.add(Number(value));
      }
      return value;
    });
    const ranks = new Map(
      [...own].sort((a, b) => a - b).map((revision, rank) => [String(revision), `#${rank}`]),
    );
    ranks.set('0', '0');
    const leases = new Map([...this.#leases].map(([number, id]) => [id, `lease ${number}`]));
    return visit(seen, (name, value) => {
      if (name === 'header') {
        return undefined;
      }
      if (/^(create|mod|compact)_revision$/.test(name)) {
        return ranks.get(value as string) ?? `not the program's: ${value}`;
      }
      if (name === 'TTL') {
        return Number(value) > 0 ? 'some' : value;
      }
      if (name === 'lease' || name === 'ID') {
        return leases.get(value as string) ?? (value === '0' || value === NO_LEASE ? value : 'another');
      }
      if (name === 'keys' && Array.isArray(value)) {
        return [...(value as string[])].sort(); // etcd tells a lease's keys in no order
      }
      if (name === 'leases') {
        return (value as { ID: string }[]).map(({ ID }) => ID).sort();
      }
      return value;
    }) as unknown[];
  }
}

/** Whether a call has made a revision, which its header then tells. */
function hasWritten(answer: Message): boolean {
  if ('responses' in answer) {
    return (answer.responses as Message[]).some((each) => {
      const of = each[each.response as string] as Message;
      return each.response === 'response_put' || hasWritten(of);
    });
  }
  return 'prev_kv' in answer || ('deleted' in answer && answer.deleted !== '0');
}

function hasEmptyKey(request: object): boolean {
  return Object.entries(request).some(([name, value]) =>
    Buffer.isBuffer(value)
      ? name === 'key' && value.length === 0
      : typeof value === 'object' && value !== null && hasEmptyKey(value),
  );
}

function readsBelow(request: object, floor: number): boolean {
  return Object.entries(request).some(([name, value]) =>
    typeof value === 'object' && value !== null
      ? readsBelow(value, floor)
      : name === 'revision' && Number(value) > 0 && Number(value) < floor,
  );
}

function covers(request: Fields, wanted: Buffer): boolean {
  const { key, range_end: end } = request as { key: Buffer; range_end?: Buffer };
  if (end === undefined) {
    return wanted.equals(key);
  }
  const isToTheEnd = end.length === 1 && end[0] === 0;
  return wanted.compare(key) >= 0 && (isToTheEnd || wanted.compare(end) < 0);
}
