import type { ColumnType } from '../masking/methods.js';
import type { ColumnInput } from './column-schema.js';
import type { MaskInput, MaskMethod } from './mask-schema.js';
import type { Path } from './problem.js';

/** Where in a column something is wrong, and what. */
export interface TypeProblem {
  readonly key: Path;
  readonly message: string;
}

const TEXT: readonly ColumnType[] = ['text'];
const ADDRESS: readonly ColumnType[] = ['inet', 'text'];
const CALENDAR: readonly ColumnType[] = ['date', 'timestamptz'];
/** What a text can be read as: the masker's result is checked as a kept value is. */
const READ_FROM_TEXT: readonly ColumnType[] = [
  'text',
  'integer',
  'bigint',
  'numeric',
  'date',
  'timestamptz',
  'uuid',
  'inet',
];
const LISTS: readonly ColumnType[] = ['jsonb', 'text[]'];

// What masks make; other masks leave the type to the column.
const TYPES: Readonly<{ [method in MaskMethod]?: readonly ColumnType[] }> = {
  siv: TEXT,
  hmac: TEXT,
  vault: TEXT,
  ff1: TEXT,
  partial: TEXT,
  bucket: TEXT,
  'ipcrypt-det': ADDRESS,
  'ipcrypt-pfx': ADDRESS,
  'ip-truncate': ADDRESS,
  'date-shift': CALENDAR,
  custom: READ_FROM_TEXT,
};

/** What is wrong with a column's type, given its mask and whether its source is a list; or null. */
export function typeProblem({ type, mask }: ColumnInput, isList: boolean): TypeProblem | null {
  const method = mask?.method ?? 'keep';
  const stores = method !== 'null' && method !== 'drop' && method !== 'constant';
  const types = mask === undefined ? undefined : typesOf(mask);
  if (isList && stores) return listProblem(type, mask, types);
  if (type === 'text[]') return { key: ['type'], message: 'is for a list: a `from` with "[*]"' };
  if (types === undefined) return null;
  // The two are read and written differently: which of them it is has to be said.
  if (types === CALENDAR && type === undefined)
    return { key: ['type'], message: `required by the mask ${method}: date or timestamptz` };
  if (type !== undefined && !types.includes(type)) {
    const what = method === 'siv' || method === 'hmac' || method === 'vault' ? 'tokens are' : 'results are';
    return { key: ['type'], message: `contradicts the mask ${method}, whose ${what} ${types.join(' or ')}` };
  }
  const isIdle = type === 'date' && (mask?.to === 'hour' || mask?.to === 'day');
  return isIdle ? { key: ['mask', 'to'], message: 'makes nothing coarser of a date' } : null;
}

function listProblem(
  type: ColumnType | undefined,
  mask: MaskInput | undefined,
  types: readonly ColumnType[] | undefined,
): TypeProblem | null {
  if (mask !== undefined && types === CALENDAR)
    return { key: ['mask', 'method'], message: `${mask.method} of dates is not for lists: name one element` };
  if (type !== undefined && LISTS.includes(type)) return null;
  return { key: ['type'], message: 'a `from` with "[*]" gives a list: its type must be jsonb or text[]' };
}

function typesOf(mask: MaskInput): readonly ColumnType[] | undefined {
  if (mask.method !== 'generalize') return TYPES[mask.method];
  if (mask.map !== undefined) return TEXT;
  if (mask.to === undefined) return undefined;
  return mask.to === 'ip_version' ? ['integer', 'text'] : CALENDAR;
}
