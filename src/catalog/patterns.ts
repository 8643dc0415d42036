/** More repetitions than this count as unlimited. */
const FEW = 16;

/** How many unlimited repetitions a pattern may have: each adds a power of the text's length to the time it takes. */
const MOST_REPETITIONS = 2;

const QUANTIFIER = /^(?:\*|\+|\?|\{([0-9]+)(,([0-9]*))?\})/;

/**
 * Tells why a regular expression could take long on a hostile text, by a rule that is stricter than need be: no
 * group may be repeated that repeats or chooses something itself, nor may a pattern look around, refer back, or
 * hold more than two unlimited repetitions.
 * @param source of a regular expression that is known to compile
 * @returns `undefined` when it is quick on every text
 */
export function slowness(source: string): string | undefined {
  if (/\(\?(?!:)/.test(source)) {
    return 'it has a named group or looks around';
  }
  let repetitions = 0;
  /** For each open group, whether it repeats or chooses something. The first stands for the whole pattern. */
  const groups: { varies: boolean }[] = [{ varies: false }];
  let closed: { varies: boolean } | undefined;
  for (let rest = source; rest !== ''; ) {
    const [piece = ''] = /^(?:\\k?.|\[(?:\\.|[^\]\\])*\]|.)/su.exec(rest) ?? [];
    rest = rest.slice(piece.length || 1);
    if (/^\\[1-9k]/.test(piece)) {
      return 'it refers back to a group';
    }
    closed = undefined;
    if (piece === '(') {
      groups.push({ varies: false });
      rest = rest.replace(/^\?:/, '');
      continue;
    }
    if (piece === ')') {
      closed = groups.pop();
    }
    const group = groups.at(-1);
    const quantifier = QUANTIFIER.exec(rest);
    if (quantifier) {
      rest = rest.slice(quantifier[0].length).replace(/^\?/, '');
      const most = highest(quantifier);
      if (closed?.varies && most > 1) {
        return 'it repeats a group that itself repeats or chooses something';
      }
      repetitions += most > FEW ? 1 : 0;
    }
    if (group && (piece === '|' || quantifier || closed?.varies)) {
      group.varies = true;
    }
  }
  return repetitions > MOST_REPETITIONS ? `it has more than ${MOST_REPETITIONS} long repetitions` : undefined;
}

function highest([text, least, range, most]: RegExpExecArray): number {
  if (text === '?') {
    return 1;
  }
  if (text === '*' || text === '+' || (range !== undefined && most === '')) {
    return Number.POSITIVE_INFINITY;
  }
  return Number(most ?? least);
}
