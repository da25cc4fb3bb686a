import {
  type ColumnPolicy,
  type ColumnSpec,
  type FieldPath,
  type JsonMask,
  type JsonMember,
  type MaskSpec,
  type PathStep,
  companionOf,
  hasEach,
} from './methods.js';

/** A column that stores parts of a JSON value. */
export type JsonColumn = ColumnSpec & { readonly mask: JsonMask };

/** Whether a column stores parts of a JSON value, each masked in its own way. */
export function isJsonColumn(column: ColumnSpec): column is JsonColumn {
  return column.mask.method === 'json';
}

/**
 * What of a message a column stores, each as a column of its own: the parts of a JSON value, or the column itself. A
 * part is named as `column.path`; where all other members are kept, these are one more part, `column.*`.
 */
export function partsOf(column: ColumnSpec): readonly ColumnSpec[] {
  if (!isJsonColumn(column)) return [column];
  const { name, path, source, mask } = column;
  const parts = mask.members.map((member) => partOf(column, member));
  const others = { name: `${name}.*`, path, source, type: 'jsonb', ...plain, mask: keep } as const;
  return mask.others === 'keep' ? [...parts, others] : parts;
}

const plain = { maxLength: null, required: false } as const;
const keep = { method: 'keep' } as const;

/** A member of such a column as a column of its own. */
export function partOf({ name, source }: JsonColumn, { at, path, steps, mask }: JsonMember): ColumnSpec {
  const place = placeOf(source, steps);
  return {
    name: `${name}.${at}`,
    path,
    source: { kind: 'path', ...place },
    type: hasEach(place) ? 'jsonb' : 'text',
    ...plain,
    mask,
  };
}

/** Steps from a column's value, as a place in the body. */
function placeOf(source: ColumnSpec['source'], steps: readonly PathStep[]): FieldPath {
  if (source.kind === 'path') {
    const { name, within } = source;
    return { name, steps: [...source.steps, ...steps], ...(within === undefined ? {} : { within }) };
  }
  if (source.kind === 'field') return { name: source.name, steps };
  const [first, ...rest] = steps;
  return { name: first && 'member' in first ? first.member : '', steps: rest };
}

/** A column, and its parts where it has any: all that can be looked at by its name. */
export function namedParts(column: ColumnSpec): readonly ColumnSpec[] {
  return isJsonColumn(column) ? [column, ...partsOf(column)] : [column];
}

/** All masks of a column: those of its parts, or its own. */
export function masksOf(column: ColumnSpec): readonly MaskSpec[] {
  return partsOf(column).map(({ mask }) => mask);
}

/** Whether a column may differ between the elements of a list: its value, or what its mask needs besides. */
export function isOfElement(spec: ColumnSpec): boolean {
  const { source } = spec;
  if (source.kind === 'path' && source.within !== undefined) return true;
  if (source.kind === 'meta' && source.name === 'index') return true;
  return masksOf(spec).some((mask) => companionOf(mask)?.within !== undefined);
}

/** The members of a column that are masked by that method. */
export function partsBy(column: JsonColumn, method: MaskSpec['method']): readonly JsonMember[] {
  return column.mask.members.filter(({ mask }) => mask.method === method);
}

/** Whether what maskline or SQS gives is there for every row, so that none lacks it. */
export function isAlwaysThere(source: ColumnSpec['source']): boolean {
  return source.kind === 'meta' && source.name !== 'group_id' && source.name !== 'sequence_number';
}

/** Methods whose results have no room for a key id. */
const formatKeepingMethods: readonly MaskSpec['method'][] = [
  'ff1',
  'ipcrypt-det',
  'ipcrypt-pfx',
  'date-shift',
];

/** Whether results are made with a key and have no room for its id: their rows need a column from `$mask_kid`. */
export function needsKeyId(mask: MaskSpec): boolean {
  return (
    formatKeepingMethods.includes(mask.method) || (mask.method === 'custom' && mask.domain !== undefined)
  );
}

/** The columns of all tables of a policy. */
export function allColumns({
  columns,
  several,
}: Pick<ColumnPolicy, 'columns' | 'several'>): readonly ColumnSpec[] {
  return several ? [...columns, ...several.further.flatMap((table) => table.columns)] : columns;
}
