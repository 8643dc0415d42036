import type { Backups } from '../backups/backups.js';
import { StoreError } from '../backups/stores/store.js';
import { compareStore, tidy, type Untidy } from '../backups/tidy.js';
import { checkUp } from '../broker/checkup/checkup.js';
import type { Difference } from '../broker/checkup/oracle.js';
import { repair } from '../broker/checkup/repair.js';
import type { Output } from './output.js';
import type { Tools } from './tools.js';

/** Where the store of backups and the records do not agree. */
interface BackupDifference {
  kind: 'backup';
  what: string;
  detail: string;
}

/** Each sign-in costs etcd a bcrypt: 1 ms at the least cost, 65 ms at etcd's default, and tenants wait as long. */
const MOST_SIGN_INS = 1_000;

/**
 * `check`: compares the cluster with the records and prints what differs; with `--repair` repairs it.
 * @returns the exit code: 0 when nothing differs (any more), 1 otherwise
 */
export async function check(
  tools: Tools,
  output: Output,
  options: { repair: boolean; yes: boolean; all: boolean },
): Promise<number> {
  // First, since it may throw at once.
  const copies = tools.hasBackups ? tools.backups() : undefined;
  const [{ differences: found, ...counts }, isolation, backups] = await Promise.all([
    checkUp(tools, options.all ? undefined : MOST_SIGN_INS),
    tools.isolationGap(),
    copies === undefined ? [] : backupDifferences(copies),
  ]);
  const differences = [...found, ...backups];
  if (!output.json) {
    output.line(
      `${counts.instances} instances, ${counts.bindings} bindings, ${counts.underWay} operations under way`,
    );
    if (!options.all && counts.signIns >= MOST_SIGN_INS) {
      output.line(`Signed in with ${counts.signIns} of the credentials, chosen at random; --all tries each.`);
    }
    for (const { kind, what, detail } of differences) {
      output.line(`${kind}: ${what}: ${detail}`);
    }
    output.line(differences.length === 0 ? 'Nothing differs.' : `${differences.length} differences.`);
    if (isolation !== undefined) {
      output.line(`Note: ${isolation}`);
    }
  }
  const wanted = options.repair && differences.length > 0;
  const agreed = wanted && (options.yes || (await output.confirm(question(differences))));
  const repairs = agreed ? await repairAll(tools, output, differences) : undefined;
  // What a malformed record spoke of is a difference only after it is gone.
  const isWhole =
    differences.length === 0 ||
    (repairs?.every(({ ok }) => ok) === true && !differences.some(({ kind }) => kind === 'malformed record'));
  if (output.json) {
    const told = differences.map(({ kind, what, detail }) => ({ kind, what, detail }));
    output.line(
      JSON.stringify({
        ...counts,
        differences: told,
        ...(isolation === undefined ? {} : { isolation }),
        ...(repairs === undefined ? {} : { repairs }),
      }),
    );
  }
  return isWhole ? 0 : 1;
}

/** Names the number of roles and users that are to go, since lost records look like this. */
export function question(differences: readonly (Difference | BackupDifference)[]): string {
  const stray = new Set(
    differences.filter(({ kind }) => kind === 'stray role' || kind === 'stray user').map(({ what }) => what),
  ).size;
  const removed =
    stray === 0
      ? ''
      : ` ${stray} ${stray === 1 ? 'binding has' : 'bindings have'} roles or users but no record: they are removed, and applications that use them stop working.`;
  return `Repair ${differences.length} differences?${removed}`;
}

interface Repaired {
  what: string;
  ok: boolean;
  outcome: string;
}

/** What `backup tidy` puts right. */
async function backupDifferences(backups: Backups): Promise<BackupDifference[]> {
  const told = (what: string, detail: string): BackupDifference => ({ kind: 'backup', what, detail });
  let compared: Untidy;
  try {
    compared = await compareStore(backups);
  } catch (error) {
    if (error instanceof StoreError) {
      return [told(backups.parts.store.where, error.message)];
    }
    throw error;
  }
  const { unknown, missing, unfinished } = compared;
  return [
    ...unknown.map((name) => told(name, 'it is in the store, and the records do not know it')),
    ...missing.map(({ deployment_id, backup_id }) =>
      told(`${deployment_id}/${backup_id}`, 'the records know it, and it is not in the store, or not wholly'),
    ),
    ...unfinished.map((name) => told(name, 'it is a part of a backup: the rest is not there')),
  ];
}

async function repairOne(tools: Tools, difference: Difference | BackupDifference): Promise<string> {
  if (difference.kind !== 'backup') {
    return repair(tools, difference);
  }
  const { indexed, removed } = await tidy(tools.backups());
  return indexed + removed === 0 ? 'nothing to do: it was put right with another' : 'store and records agree';
}

async function repairAll(
  tools: Tools,
  output: Output,
  differences: readonly (Difference | BackupDifference)[],
): Promise<Repaired[]> {
  const repairs: Repaired[] = [];
  for (const difference of differences) {
    const what = `${difference.kind}: ${difference.what}`;
    let repaired: Repaired;
    try {
      repaired = { what, ok: true, outcome: await repairOne(tools, difference) };
    } catch (error) {
      repaired = { what, ok: false, outcome: (error as Error).message };
    }
    repairs.push(repaired);
    if (!output.json) {
      output.line(`${repaired.ok ? 'repaired' : 'NOT repaired'} ${what}: ${repaired.outcome}`);
    }
  }
  return repairs;
}
