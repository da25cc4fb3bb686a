import { NULL_FIELD, decodeField, encodeField } from '../copy-text.js';
import type { Keyring } from './keyring.js';
import { type SealedEntry, openMasked, openRaw, sealMasked, sealRaw } from './quarantined.js';
import type { RemaskPlan, StoredCell } from './remask-rows.js';
import type { Sealed } from './seal.js';
import { parseToken } from './token.js';

/**
 * A quarantined record sealed anew under the primary key, with the tokens of a masked row brought to it too; null when
 * nothing of it is of the old key. Throws `key_unavailable`, `payload_newer` or `payload_corrupt`, as opening does.
 */
export function resealEntry(keyring: Keyring, plan: RemaskPlan, entry: SealedEntry): Sealed | null {
  const isOld = entry.kid === plan.fromKid;
  if (entry.kind === 'raw') return isOld ? sealRaw(keyring, entry.id, openRaw(keyring, entry)) : null;
  const { columns, row } = openMasked(keyring, entry);
  const fields = fieldsOf(row);
  if (!isOld && !kidsIn(columns, fields, plan.kidColumns).has(plan.fromKid)) return null;
  const changed = changedFields(plan, columns, fields) ?? fields;
  const header = columns.map(encodeField).join('\t');
  return sealMasked(keyring, entry.id, Buffer.from(`${header}\n${changed.join('\t')}\n`, 'utf8'));
}

/** The key ids that a sealed entry needs: its seal's, and those in the masked row that it holds. Throws as `openMasked`. */
export function kidsOfEntry(
  keyring: Keyring,
  entry: SealedEntry,
  kidColumns: readonly string[],
): ReadonlySet<number> {
  if (entry.kind === 'raw') return new Set([entry.kid]);
  const { columns, row } = openMasked(keyring, entry);
  return new Set([entry.kid, ...kidsIn(columns, fieldsOf(row), kidColumns)]);
}

function fieldsOf(row: Buffer): readonly string[] {
  return row.toString('utf8').replace(/\n$/, '').split('\t');
}

function kidsIn(
  columns: readonly string[],
  fields: readonly string[],
  kidColumns: readonly string[],
): ReadonlySet<number> {
  const kids = new Set<number>();
  for (const [i, field] of fields.entries()) {
    if (kidColumns.includes(columns[i] ?? '')) kids.add(Number(field));
    for (const cell of [cellOf(field, true)].flat()) {
      const token = cell === null ? null : parseToken(cell);
      if (token) kids.add(token.kid);
    }
  }
  return kids;
}

/** Null when a cell is not what its mask makes: then the row stays as it is. */
function changedFields(
  plan: RemaskPlan,
  columns: readonly string[],
  fields: readonly string[],
): readonly string[] | null {
  const places = plan.columns.map(({ name }) => columns.indexOf(name));
  const isOfOldKid = plan.kidColumns.some((name) => fields[columns.indexOf(name)] === String(plan.fromKid));
  const cells = plan.columns.map(({ isList }, c): StoredCell => cellOf(fields[places[c] ?? -1], isList));
  const [changed] = plan.change([{ cells, isOfOldKid }]);
  if (!changed) return null;
  const result = [...fields];
  for (const [c, place] of places.entries()) {
    if (place !== -1) result[place] = fieldOf(changed[c] ?? null, fields[place] ?? '');
  }
  if (isOfOldKid) {
    for (const name of plan.kidColumns) {
      if (columns.includes(name)) result[columns.indexOf(name)] = String(plan.toKid);
    }
  }
  return result;
}

const elements = /"(?:[^"\\]|\\.)*"|NULL|null/g;

/** A field as a cell. Lists are as `listMask` writes them: JSON arrays, or array literals in which all is quoted. */
function cellOf(field: string | undefined, isList: boolean): StoredCell {
  if (field === undefined || field === NULL_FIELD) return null;
  const text = decodeField(field);
  if (!isList || !/^[[{].*[\]}]$/s.test(text)) return text;
  return (text.match(elements) ?? []).map((item) =>
    item.startsWith('"') ? item.slice(1, -1).replace(/\\(.)/g, '$1') : null,
  );
}

/** The cell as the field was written. Masked elements hold nothing that JSON would escape but quotes and backslashes. */
function fieldOf(cell: StoredCell, before: string): string {
  if (cell === null) return NULL_FIELD;
  if (typeof cell === 'string') return encodeField(cell);
  const isJson = decodeField(before).startsWith('[');
  const items = cell.map((item) =>
    item === null ? (isJson ? 'null' : 'NULL') : `"${item.replace(/["\\]/g, '\\$&')}"`,
  );
  return encodeField(isJson ? `[${items.join(',')}]` : `{${items.join(',')}}`);
}
