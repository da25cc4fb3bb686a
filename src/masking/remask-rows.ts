import type { Keyring } from './keyring.js';
import { type ColumnPolicy, type ColumnSpec, type PathStep, isList } from './methods.js';
import { type JsonColumn, isJsonColumn, needsKeyId, partsBy } from './parts.js';
import { type Remask, type Successors, remaskOf, succeed } from './remask.js';
import { jsonVaultTokens, placesOf, remaskJson } from './remask-json.js';

/** A cell of a masked column as JSON has it: a list where the column takes each element of an array. */
export type StoredCell = string | null | readonly (string | null)[];

/** A stored row: its cells in the order of the plan's columns. */
export interface StoredRow {
  readonly cells: readonly StoredCell[];
  /** Whether the row's `$mask_kid` is the old key: formats tell nothing of theirs. */
  readonly isOfOldKid: boolean;
}

/** A column that can be brought to another key. */
export interface RemaskColumn {
  readonly name: string;
  readonly isList: boolean;
  /**
   * `format`: its cells carry no kid, and go by the row's; `vault`: others stand for its tokens, if they mean anything;
   * `json`: its cells are JSON text, with tokens where `places` say.
   */
  readonly kind: 'siv' | 'vault' | 'format' | 'json';
  readonly places?: JsonPlaces;
}

/** Where the tokens of those methods are within a JSON value. */
export interface JsonPlaces {
  readonly siv: readonly (readonly PathStep[])[];
  readonly vault: readonly (readonly PathStep[])[];
}

/** A column that can't, and why. */
export interface LeftColumn {
  readonly name: string;
  readonly method: string;
  readonly why: 'one_way' | 'beside_one_way';
}

/** How a pipeline's rows are brought from one key to another. */
export interface RemaskPlan {
  readonly fromKid: number;
  readonly toKid: number;
  readonly columns: readonly RemaskColumn[];
  /** The columns from `$mask_kid`, which are to be set; empty when a column that stays goes by them. */
  readonly kidColumns: readonly string[];
  readonly left: readonly LeftColumn[];
  /** The tokens of the vault in a row's cells. */
  vaultTokens(cells: readonly StoredCell[]): readonly string[];
  /** The cells of each row under the new key, or null for a row with a cell that is not what its mask makes. */
  change(rows: readonly StoredRow[], successors: Successors): readonly (readonly StoredCell[] | null)[];
}

/** A column, and what its texts become. */
interface Work {
  readonly column: RemaskColumn;
  readonly remask: (stored: readonly string[], successors: Successors) => ReturnType<Remask>;
}

/** The methods whose results hold nothing of the value that a key could bring back. */
const oneWay: readonly string[] = ['hmac', 'date-shift'];

/** A custom mask without a key has nothing that is to be brought anywhere. */
function isOneWay({ mask }: ColumnSpec): boolean {
  return oneWay.includes(mask.method) || (mask.method === 'custom' && mask.domain !== undefined);
}

/**
 * Plans how to bring rows of a policy from that key to the primary. `hmac` has no way back, and `date-shift` none
 * without its entity. Formats in one row share its kid, so beside a `date-shift` none of them can go. Throws
 * `key_unavailable`.
 */
export function planRemask(
  policy: Pick<ColumnPolicy, 'columns'>,
  keyring: Keyring,
  fromKid: number,
): RemaskPlan {
  const isFormat = ({ mask }: ColumnSpec): boolean => needsKeyId(mask);
  const isStuck = policy.columns.some((column) => isFormat(column) && isOneWay(column));
  const work: Work[] = [];
  const left: LeftColumn[] = [];
  for (const column of policy.columns) {
    const { name, mask } = column;
    if (isJsonColumn(column)) {
      work.push(...jsonWork(column, keyring, fromKid));
      const stays = partsBy(column, 'hmac').length > 0;
      if (stays) left.push({ name, method: 'hmac', why: 'one_way' });
    } else if (isOneWay(column)) left.push({ name, method: mask.method, why: 'one_way' });
    else if (isFormat(column) && isStuck) left.push({ name, method: mask.method, why: 'beside_one_way' });
    else if (mask.method === 'vault')
      work.push({ column: { name, isList: isList(column), kind: 'vault' }, remask: succeed });
    else {
      const remask = remaskOf(mask, keyring, fromKid);
      const kind = mask.method === 'siv' ? 'siv' : 'format';
      if (remask) work.push({ column: { name, isList: isList(column), kind }, remask });
    }
  }
  const kidColumns = isStuck ? [] : kidColumnsOf(policy);
  return {
    fromKid,
    toKid: keyring.primaryKid,
    columns: work.map(({ column }) => column),
    kidColumns,
    left,
    vaultTokens: (cells) => work.flatMap(({ column }, c) => vaultTokensOf(column, cells[c] ?? null)),
    change: (rows, successors) => {
      const columns = work.map(({ column, remask }, c) =>
        changeColumn(
          rows.map((row) => (column.kind !== 'format' || row.isOfOldKid ? (row.cells[c] ?? null) : null)),
          (stored) => remask(stored, successors),
        ),
      );
      return rows.map((row, r) => {
        const cells = work.map(({ column }, c) =>
          column.kind !== 'format' || row.isOfOldKid ? columns[c]?.[r] : (row.cells[c] ?? null),
        );
        const whole = cells.filter((cell) => cell !== undefined);
        return whole.length === cells.length ? whole : null;
      });
    },
  };
}

/** Nothing, where a column has no tokens that could be brought anywhere. */
function jsonWork(column: JsonColumn, keyring: Keyring, fromKid: number): readonly Work[] {
  const places = placesOf(column);
  if (places.siv.length + places.vault.length === 0) return [];
  return [
    {
      column: { name: column.name, isList: false, kind: 'json', places },
      remask: remaskJson(column, keyring, fromKid),
    },
  ];
}

function vaultTokensOf(column: RemaskColumn, cell: StoredCell): readonly string[] {
  if (column.kind === 'json') return cell === null || isListOf(cell) ? [] : jsonVaultTokens(column, cell);
  return column.kind === 'vault' ? [cell].flat().filter((text) => text !== null) : [];
}

/** The columns from `$mask_kid`: by them go the cells of the row that carry no kid. */
export function kidColumnsOf({ columns }: Pick<ColumnPolicy, 'columns'>): readonly string[] {
  const isKid = ({ source, mask }: ColumnSpec): boolean =>
    source.kind === 'meta' && source.name === 'mask_kid' && mask.method === 'keep';
  return columns.filter(isKid).map(({ name }) => name);
}

/** Every text of a column at once; undefined for a cell in which one is left. */
function changeColumn(cells: readonly StoredCell[], remask: Remask): readonly (StoredCell | undefined)[] {
  const texts = cells.flatMap((cell) => (isListOf(cell) ? cell : [cell]).filter((text) => text !== null));
  const changed = remask(texts);
  let next = 0;
  const one = (text: string | null): string | null | undefined => {
    if (text === null) return null;
    next += 1;
    return changed[next - 1] ?? undefined;
  };
  return cells.map((cell) => {
    if (!isListOf(cell)) return one(cell);
    const items = cell.map(one);
    const whole = items.filter((item) => item !== undefined);
    return whole.length === items.length ? whole : undefined;
  });
}

function isListOf(cell: StoredCell): cell is readonly (string | null)[] {
  return Array.isArray(cell);
}
