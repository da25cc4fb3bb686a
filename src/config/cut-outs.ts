// What a column keeps of a JSON value is not what another column takes of it.

import type { ColumnSpec, PathStep } from '../masking/methods.js';
import { type JsonColumn, isJsonColumn } from '../masking/parts.js';
import { isWithin } from '../masking/path-tree.js';
import type { Findings, Path } from './problem.js';

/** A column, and the steps to its value from the body. */
interface Placed {
  readonly column: ColumnSpec;
  readonly steps: readonly PathStep[];
}

/**
 * The columns, with what others take cut out of what a column keeps of a JSON value; null when that contradicts
 * something, which is reported. Of the rest, nothing that another column takes can be named; of a field, it can. `all`
 * are the columns of all tables: what one takes, another does not store with the rest.
 */
export function withCutOuts(
  columns: readonly ColumnSpec[],
  all: readonly ColumnSpec[],
  at: Path,
  findings: Findings,
): readonly ColumnSpec[] | null {
  const [rest, second] = columns.filter(({ source }) => source.kind === 'rest');
  if (rest && second) {
    findings.error([...at, second.name, 'from'], `column ${rest.name} is from $rest already`);
    return null;
  }
  const placed = all.flatMap(placeOf);
  let isSound = true;
  const cut = columns.map((column): ColumnSpec => {
    if (!isJsonColumn(column)) return column;
    const own = placed.find((one) => one.column === column)?.steps ?? [];
    const taken = placed
      .filter(({ steps }) => isWithin(steps, own) && steps.length > own.length)
      .map(({ column: { name }, steps }) => ({ name, steps: steps.slice(own.length) }));
    const { members } = column.mask;
    const isNamed = ({ steps }: (typeof taken)[number]): boolean =>
      members.some((member) => isWithin(member.steps, steps));
    if (column.source.kind === 'rest') isSound = reportTaken(column, taken, at, findings) && isSound;
    return {
      ...column,
      mask: { ...column.mask, taken: taken.filter((one) => !isNamed(one)).map(({ steps }) => steps) },
    };
  });
  return isSound ? cut : null;
}

function placeOf(column: ColumnSpec): readonly Placed[] {
  const { source } = column;
  if (source.kind !== 'field' && source.kind !== 'path') return [];
  const steps = source.kind === 'path' ? source.steps : [];
  return [{ column, steps: [{ member: source.name }, ...steps] }];
}

function reportTaken(
  rest: JsonColumn,
  taken: readonly { readonly name: string; readonly steps: readonly PathStep[] }[],
  at: Path,
  findings: Findings,
): boolean {
  let isSound = true;
  for (const member of rest.mask.members) {
    const owner = taken.find(({ steps }) => isWithin(member.steps, steps));
    if (!owner) continue;
    findings.error([...at, rest.name], `${member.at} is no part of the rest: column ${owner.name} takes it`);
    isSound = false;
  }
  return isSound;
}
