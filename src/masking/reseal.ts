import { NULL_FIELD, decodeField, encodeField } from '../copy-text.js';
import type { Keyring } from './keyring.js';
import { type SealedEntry, openMasked, openRaw, sealMasked, sealRaw } from './quarantined.js';
import type { Successors } from './remask.js';
import type { RemaskPlan, StoredCell } from './remask-rows.js';
import type { Sealed } from './seal.js';
import { parseToken } from './token.js';

/**
 * A quarantined record sealed anew under the primary key, with the tokens of a masked row brought to it too; null when
 * nothing of it is of the old key. Throws `key_unavailable`, `payload_newer` or `payload_corrupt`, as opening does.
 */
export function resealEntry(
  keyring: Keyring,
  plan: RemaskPlan,
  entry: SealedEntry,
  successors: Successors,
): Sealed | null {
  const isOld = entry.kid === plan.fromKid;
  if (entry.kind === 'raw') return isOld ? sealRaw(keyring, entry.id, openRaw(keyring, entry)) : null;
  const { columns, row } = openMasked(keyring, entry);
  const fields = fieldsOf(row);
  const changed = changedFields(plan, columns, fields, successors) ?? fields;
  if (!isOld && changed.every((field, i) => field === fields[i])) return null;
  const header = columns.map(encodeField).join('\t');
  return sealMasked(keyring, entry.id, Buffer.from(`${header}\n${changed.join('\t')}\n`, 'utf8'));
}

/** What of a quarantined record needs keys. */
export interface EntryKeys {
  /** The key ids of its seal, its row and its tokens, but for those of the vault. */
  readonly kids: ReadonlySet<number>;
  /** Its tokens of the vault: whether they mean anything, the vault knows. */
  readonly vaultTokens: readonly Token[];
}

/** What a sealed entry needs: its seal, and the masked row that it holds. Throws as `openMasked`. */
export function keysOfEntry(keyring: Keyring, entry: SealedEntry, kidColumns: readonly string[]): EntryKeys {
  const kids = new Set([entry.kid]);
  const vaultTokens: Token[] = [];
  if (entry.kind === 'raw') return { kids, vaultTokens };
  const { columns, row } = openMasked(keyring, entry);
  for (const [i, field] of fieldsOf(row).entries()) {
    if (kidColumns.includes(columns[i] ?? '')) kids.add(Number(field));
    for (const text of [cellOf(field, true)].flat()) {
      const token = text === null ? null : parseToken(text);
      if (text === null || !token) continue;
      if (token.letter === 'v') vaultTokens.push({ text, kid: token.kid });
      else kids.add(token.kid);
    }
  }
  return { kids, vaultTokens };
}

interface Token {
  readonly text: string;
  readonly kid: number;
}

function fieldsOf(row: Buffer): readonly string[] {
  return row.toString('utf8').replace(/\n$/, '').split('\t');
}

/** Null when a cell is not what its mask makes: then the row stays as it is. */
function changedFields(
  plan: RemaskPlan,
  columns: readonly string[],
  fields: readonly string[],
  successors: Successors,
): readonly string[] | null {
  const places = plan.columns.map(({ name }) => columns.indexOf(name));
  const isOfOldKid = plan.kidColumns.some((name) => fields[columns.indexOf(name)] === String(plan.fromKid));
  const cells = plan.columns.map(({ isList }, c): StoredCell => cellOf(fields[places[c] ?? -1], isList));
  const [changed] = plan.change([{ cells, isOfOldKid }], successors);
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
