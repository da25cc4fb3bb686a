import { isJsonObject } from './json-tree.js';
import { type ColumnPolicy, type ColumnSpec, type PathStep, companionOf } from './methods.js';
import { allColumns, isJsonColumn } from './parts.js';
import { PathTree } from './path-tree.js';

/** The places of a body that a column takes, or needs for its mask. */
export type KnownFields = PathTree<'taken'>;

/** Hears of a field that no column takes: its name, and those on the way to it. */
type OnUnknown = (name: string, way: readonly string[]) => void;

/** What the columns of a policy take of a body. */
export function knownFields(policy: Pick<ColumnPolicy, 'columns' | 'several'>): KnownFields {
  const known: KnownFields = new PathTree();
  for (const column of allColumns(policy))
    for (const steps of placesOf(column)) known.at(steps).rule = 'taken';
  // A list that rows are made of is known, what is in its elements only as far as columns take it.
  for (const { each } of policy.several?.further ?? [])
    if (each !== null) known.at([{ member: each.place.name }, ...each.place.steps]);
  return known;
}

/**
 * Every field that no column takes, also within objects of which columns take something; elements of arrays are no
 * fields, but objects in them have some.
 */
export function eachUnknown(
  value: unknown,
  known: KnownFields,
  onUnknown: OnUnknown,
  way: readonly string[] = [],
): void {
  if (known.rule === 'taken') return;
  if (Array.isArray(value)) {
    const { each } = known;
    if (each !== null) for (const item of value) eachUnknown(item, each, onUnknown, way);
  } else if (isJsonObject(value)) {
    for (const name of Object.keys(value)) {
      const next = known.members.get(name);
      if (!next) onUnknown(name, way);
      else if (next.rule !== 'taken') eachUnknown(value[name], next, onUnknown, [...way, name]);
    }
  }
}

function placesOf(column: ColumnSpec): readonly (readonly PathStep[])[] {
  const { source, mask } = column;
  const places: (readonly PathStep[])[] = [];
  if (source.kind === 'field' || source.kind === 'path' || source.kind === 'rest') {
    const start: readonly PathStep[] =
      source.kind === 'rest'
        ? []
        : [{ member: source.name }, ...(source.kind === 'path' ? source.steps : [])];
    if (!isJsonColumn(column) || column.mask.others === 'keep') places.push(start);
    else for (const { steps } of column.mask.members) places.push([...start, ...steps]);
  }
  const masks = isJsonColumn(column) ? column.mask.members.map((member) => member.mask) : [mask];
  for (const one of masks) {
    const companion = companionOf(one);
    if (companion !== null) places.push([{ member: companion.name }, ...companion.steps]);
  }
  return places;
}
