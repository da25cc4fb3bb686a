import { NULL_FIELD, decodeField, encodeField } from '../copy-text.js';
import type { Keyring } from './keyring.js';
import {
  type MaskedTable,
  type SealedEntry,
  type UnsealedTable,
  linesOf,
  openMasked,
  openRaw,
  sealRaw,
  sealTables,
} from './quarantined.js';
import type { Successors } from './remask.js';
import type { RemaskPlan, StoredCell } from './remask-rows.js';
import type { Sealed } from './seal.js';
import { parseToken } from './token.js';

/** How the rows of a pipeline's tables are brought from one key to another. */
export interface RemaskPlans {
  readonly fromKid: number;
  /** Null is the table of a pipeline of one. Undefined: nobody knows how rows of that table were masked. */
  ofTable(table: string | null): RemaskPlan | undefined;
}

/**
 * A quarantined record sealed anew under the primary key, with the tokens of masked rows brought to it too; null when
 * nothing of it is of the old key. Throws `key_unavailable`, `payload_newer` or `payload_corrupt`, as opening does.
 */
export function resealEntry(
  keyring: Keyring,
  plans: RemaskPlans,
  entry: SealedEntry,
  successors: Successors,
): Sealed | null {
  const isOld = entry.kid === plans.fromKid;
  if (entry.kind === 'raw') return isOld ? sealRaw(keyring, entry.id, openRaw(keyring, entry)) : null;
  const tables = openMasked(keyring, entry);
  const changed = tables.map((one) => {
    const plan = plans.ofTable(one.table);
    return plan ? changedTable(plan, one, successors) : one;
  });
  if (!isOld && changed.every(({ rows }, i) => tables[i]?.rows.equals(rows))) return null;
  return sealTables(keyring, entry.id, changed);
}

function changedTable(plan: RemaskPlan, one: MaskedTable, successors: Successors): UnsealedTable {
  const lines = linesOf(one.rows).map(
    (fields) => `${(changedFields(plan, one.columns, fields, successors) ?? fields).join('\t')}\n`,
  );
  return { ...one, rows: Buffer.from(lines.join(''), 'utf8') };
}

/** What of a quarantined record needs keys. */
export interface EntryKeys {
  /** The key ids of its seal, its row and its tokens, but for those of the vault. */
  readonly kids: ReadonlySet<number>;
  /** Its tokens of the vault: whether they mean anything, the vault knows. */
  readonly vaultTokens: readonly Token[];
}

/**
 * What a sealed entry needs: its seal, and the masked rows that it holds; `kidColumns` are those of a table that hold the
 * key id of a row. Throws as `openMasked`.
 */
export function keysOfEntry(
  keyring: Keyring,
  entry: SealedEntry,
  kidColumns: (table: string | null) => readonly string[],
): EntryKeys {
  const kids = new Set([entry.kid]);
  const vaultTokens: Token[] = [];
  if (entry.kind === 'raw') return { kids, vaultTokens };
  for (const { table, columns, rows } of openMasked(keyring, entry)) {
    const ofKids = kidColumns(table);
    for (const fields of linesOf(rows)) {
      for (const [i, field] of fields.entries()) {
        if (ofKids.includes(columns[i] ?? '')) kids.add(Number(field));
        for (const token of tokensIn(field)) {
          if (token.letter === 'v') vaultTokens.push({ text: token.text, kid: token.kid });
          else kids.add(token.kid);
        }
      }
    }
  }
  return { kids, vaultTokens };
}

function tokensIn(field: string): readonly (Token & { readonly letter: string })[] {
  return [cellOf(field, true)].flat().flatMap((text) => {
    const token = text === null ? null : parseToken(text);
    return text === null || !token ? [] : [{ text, kid: token.kid, letter: token.letter }];
  });
}

interface Token {
  readonly text: string;
  readonly kid: number;
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
