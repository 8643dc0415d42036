/** A handful: more unknown names than these at once are not what late calls leave behind. */
const HANDFUL = 5;
const LARGEST_SHARE = 1 / 10;

/** What exists in a cluster, by the names of this broker's form. */
export interface ExistingNames {
  roles: ReadonlySet<string>;
  users: ReadonlySet<string>;
}

export interface SweepDecision {
  /** To be removed now. */
  remove: string[];
  /** Looks like lost records and not like waste: left alone until the operator says so. */
  held: string[];
}

/**
 * Which names that no record knows may be removed without asking anybody.
 *
 * A role without its user, or a user without its role, is of no use to anybody and always goes. One of both may be the
 * working credentials of a tenant whose record is gone, so they go only while they are few: at most five, and at most
 * a tenth of all names. A single one always goes, or nothing would ever go in a small cluster.
 */
export function decideSweep({ roles, users }: ExistingNames, recorded: ReadonlySet<string>): SweepDecision {
  const all = new Set([...roles, ...users]);
  const unknown = [...all].filter((name) => !recorded.has(name));
  const whole = unknown.filter((name) => roles.has(name) && users.has(name));
  const halves = unknown.filter((name) => !(roles.has(name) && users.has(name)));
  const isFew = whole.length <= 1 || (whole.length <= HANDFUL && whole.length <= all.size * LARGEST_SHARE);
  return isFew ? { remove: unknown, held: [] } : { remove: halves, held: whole };
}
