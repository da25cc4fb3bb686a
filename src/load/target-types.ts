import {
  type ColumnSpec,
  type ColumnType,
  isList,
  tokenLength,
  type TokenMask,
  type VaultMask,
  tokenMaskOf,
} from '../masking/methods.js';
import { isJsonColumn } from '../masking/parts.js';

/** How well a column of the table takes what the pipeline sends. `lossy` loads, but not everything or not as it was. */
export type Fit = 'fits' | 'lossy' | 'unfit' | 'unknown';

const TEXTS = ['text', 'varchar', 'citext'];

/** By what is sent, the types (as pg_type has them) that take all of it, and those that take it with a loss. */
const TAKERS: Readonly<{
  [type in ColumnType]: { readonly fits: readonly string[]; readonly lossy: readonly string[] };
}> = {
  text: { fits: TEXTS, lossy: ['bpchar'] },
  integer: { fits: ['int4', 'int8', 'numeric', 'float8', ...TEXTS], lossy: ['int2', 'float4'] },
  bigint: { fits: ['int8', 'numeric', ...TEXTS], lossy: ['float8', 'float4'] },
  numeric: { fits: ['numeric', ...TEXTS], lossy: ['float8', 'float4'] },
  boolean: { fits: ['bool', ...TEXTS], lossy: [] },
  date: { fits: ['date', 'timestamp', 'timestamptz', ...TEXTS], lossy: [] },
  timestamptz: { fits: ['timestamptz', ...TEXTS], lossy: ['timestamp', 'date'] },
  uuid: { fits: ['uuid', ...TEXTS], lossy: [] },
  inet: { fits: ['inet', ...TEXTS], lossy: ['cidr'] },
  jsonb: { fits: ['jsonb', 'json', ...TEXTS], lossy: [] },
  version_int: { fits: ['int4', 'int8', 'numeric', 'float8', ...TEXTS], lossy: ['float4'] },
  'text[]': { fits: ['_text', '_varchar', ...TEXTS], lossy: ['_bpchar'] },
};

/** Types that none of ours is sent to, but which a value may yet fit: the table's own business. */
const isForeign = (baseType: string, builtIn: boolean): boolean => !builtIn && !TEXTS.includes(baseType);

/** Whether the column holds tokens, whatever its type says; a list of tokens is what its type says. */
export function tokenMask(column: ColumnSpec): TokenMask | VaultMask | null {
  return isList(column) ? null : tokenMaskOf(column);
}

/** What arrives in the column: tokens are text. */
export function sentType(column: ColumnSpec): ColumnType {
  return tokenMask(column) ? 'text' : column.type;
}

/** How a column of that base type (its `pg_type.typname`, and whether it is Postgres's own) takes the column's values. */
export function fitOf(column: ColumnSpec, baseType: string, builtIn: boolean): Fit {
  if (column.mask.method === 'null') return 'fits';
  // Key ids end at 9999.
  if (column.source.kind === 'meta' && column.source.name === 'mask_kid' && baseType === 'int2')
    return 'fits';
  // Tokens within JSON are looked for as such.
  if (isJsonColumn(column) && TEXTS.includes(baseType)) return 'unfit';
  const { fits, lossy } = TAKERS[sentType(column)];
  if (fits.includes(baseType)) return 'fits';
  if (lossy.includes(baseType)) return 'lossy';
  return isForeign(baseType, builtIn) ? 'unknown' : 'unfit';
}

/** The types of maskline.yaml whose values such a column takes as they are, text apart. */
export function typesFor(baseType: string): readonly ColumnType[] {
  return Object.keys(TAKERS)
    .filter(isColumnType)
    .filter((type) => type !== 'text' && TAKERS[type].fits.includes(baseType));
}

function isColumnType(name: string): name is ColumnType {
  return Object.hasOwn(TAKERS, name);
}

/** Without a configured length, a column of tokens gets this one. */
const TOKEN_COLUMN_LENGTH = 256;

/** The type that `create: true` gives the column. */
export function createdType(column: ColumnSpec): string {
  if (tokenMask(column)) return `varchar(${column.maxLength ?? TOKEN_COLUMN_LENGTH})`;
  if (column.type === 'text') return column.maxLength === null ? 'text' : `varchar(${column.maxLength})`;
  return column.type === 'version_int' ? 'integer' : column.type;
}

/** The characters that a column of limited length must take. */
export interface LengthNeed {
  /** Below this, it can take no value, or not the values that the configuration allows. */
  readonly least: number;
  /** Below this, it can't take all of them. */
  readonly ample: number;
}

/** Longest spellings of the types whose values have no configured length. */
const LONGEST: Readonly<{ [type in ColumnType]?: number }> = {
  integer: 11,
  bigint: 20,
  version_int: 9,
  boolean: 5,
  date: 10,
  uuid: 36,
  inet: 39,
};

const FIRST_KID = 1;
const LAST_KID = 9999;

/** What length the column's values need; null when nothing is known of it. */
export function lengthNeed(column: ColumnSpec): LengthNeed | null {
  if (column.mask.method === 'null') return null;
  const mask = tokenMask(column);
  if (mask) {
    const shortest = tokenLength(mask, FIRST_KID, 1);
    const grown = tokenLength(mask, LAST_KID, 1);
    const isFixed = mask.method !== 'siv' || mask.as === 'ip';
    const ample = column.maxLength ?? (isFixed ? grown : TOKEN_COLUMN_LENGTH);
    return {
      least: Math.max(shortest, Math.min(column.maxLength ?? 0, ample)),
      ample: Math.max(ample, shortest),
    };
  }
  if (column.maxLength !== null) return { least: column.maxLength, ample: column.maxLength };
  if (column.mask.method === 'constant') {
    const length = [...column.mask.value].length;
    return { least: length, ample: length };
  }
  const longest = LONGEST[column.type];
  return longest === undefined ? null : { least: longest, ample: longest };
}
