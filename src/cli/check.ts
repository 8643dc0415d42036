import { checkUp } from '../broker/checkup/checkup.js';
import type { Difference } from '../broker/checkup/oracle.js';
import { repair } from '../broker/checkup/repair.js';
import type { Output } from './output.js';
import type { Tools } from './tools.js';

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
  const [{ differences, ...counts }, isolation] = await Promise.all([
    checkUp(tools, options.all ? undefined : MOST_SIGN_INS),
    tools.isolationGap(),
  ]);
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
export function question(differences: readonly Difference[]): string {
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

async function repairAll(
  tools: Tools,
  output: Output,
  differences: readonly Difference[],
): Promise<Repaired[]> {
  const repairs: Repaired[] = [];
  for (const difference of differences) {
    const what = `${difference.kind}: ${difference.what}`;
    let repaired: Repaired;
    try {
      repaired = { what, ok: true, outcome: await repair(tools, difference) };
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
