// What the leak gate looks for, in the rows of one table after the other: what any of them masks may be in none.

import { NULL_FIELD, decodeField, encodeField } from '../copy-text.js';
import { DISTINCTIVE_BYTES, type Pair, isDistinctive, isRepeated, isTelling } from './chance.js';
import { placesAt } from './json-tree.js';
import { type ColumnSpec, isList, tokenMaskOf } from './methods.js';
import { type JsonColumn, isJsonColumn, isOfElement, partOf } from './parts.js';
import { type RawForms, rawForms } from './raw-forms.js';
import { type Occurrence, type RawValues, type TableColumn, isSendersOwn } from './raw-values.js';
import { tokenPattern } from './token.js';

/** The rows of a table, as they are in the batch. */
export interface Section {
  /** Among the tables of the policy. */
  readonly number: number;
  readonly table: string;
  /** Those that are copied. */
  readonly columns: readonly ColumnSpec[];
  readonly kinds: readonly Kind[];
  /** The list of which each row is an element, as it is written; null: a row is a record. */
  readonly list: string | null;
  readonly rows: Buffer;
  /** The record of each row; they ascend. */
  readonly records: readonly number[];
}

/** Hears that a value of a masked column is in that column, in a row of that record. */
export type OnLeak = (column: TableColumn, shownIn: TableColumn, record: number) => void;

/** A column of the rows: what is in it is, or may be, the sender's text; or a token; null: it can only be text of others. */
export type Kind = 'kept' | 'token' | null;

const TAB = 0x09;
const NEWLINE = 0x0a;
/** Tokens and nulls, as a JSON array or as an array of texts. */
const tokenListPattern =
  /^[[{](?:(?:"[hsv][0-9]{1,4}\.[A-Za-z0-9_-]{22,}"|null|NULL)(?:,(?=["nN])|(?=[\]}])))*[\]}]$/;

/** What may stand in a column. */
export function kindOf(spec: ColumnSpec): Kind {
  switch (spec.mask.method) {
    case 'keep':
    // What a function of the user's gives may be anything, first of all the value itself.
    case 'custom':
    // It may hold what is kept of it.
    case 'json':
      return isSendersOwn(spec) ? 'kept' : null;
    case 'siv':
    case 'hmac':
    case 'vault':
      return 'token';
    default:
      return null;
  }
}

/** The cells of each row, as COPY has them. */
type Cells = readonly (readonly string[])[];

/** Looks for what any table masks in the rows of every table. */
export function searchSections(sections: readonly Section[], raw: RawValues, onLeak: OnLeak): void {
  const telling = raw.texts.map(isTelling);
  const forms = rawForms(raw.texts, telling);
  const places = placesOf(raw);
  const short = raw.texts.map((value, number) =>
    telling[number] === true ? null : encodeField(value).toLowerCase(),
  );
  for (const section of sections) {
    searchRows(section, raw, forms, places, onLeak);
    const cells = cellTexts(section.rows);
    requireTokens(section, cells, onLeak);
    if (telling.includes(false)) compareShort(section, cells, raw, short, onLeak);
  }
}

/** Where the cells are that are searched: cell k is in `rows[k]`, `columns[k]`. */
interface SearchedCells {
  readonly starts: number[];
  readonly ends: number[];
  readonly rows: number[];
  readonly columns: number[];
}

/** By value, the record that has it: at value x records + record; that it occurs at all, at its number below zero. */
function placesOf({ records, occurrences }: RawValues): ReadonlyMap<number, Occurrence> {
  const count = records[0]?.length ?? 0;
  const places = new Map<number, Occurrence>();
  for (const one of occurrences) places.set(one.value * count + one.record, one).set(-1 - one.value, one);
  return places;
}

/** Looks for all values that are long enough to be told from chance, in all their forms. */
function searchRows(
  section: Section,
  { texts, records }: RawValues,
  forms: RawForms,
  places: ReadonlyMap<number, Occurrence>,
  onLeak: OnLeak,
): void {
  const { rows, kinds } = section;
  const count = records[0]?.length ?? 0;
  const cells = cellsOf(rows, kinds);
  forms.search.find(rows, cells, (form, cell, from, to) => {
    const value = forms.values[form] ?? -1;
    const record = section.records[cells.rows[cell] ?? -1] ?? -1;
    const column = cells.columns[cell] ?? -1;
    const own = places.get(value * count + record);
    const isLong = to - from >= DISTINCTIVE_BYTES;
    const isWhole = from === cells.starts[cell] && to === cells.ends[cell];
    const isOwn = own !== undefined && (isLong || isWhole || kinds[column] === 'kept');
    const isAnyones = isLong && (forms.encoded[form] === true || isDistinctive(texts[value] ?? ''));
    const one = isOwn ? own : isAnyones ? places.get(-1 - value) : undefined;
    const shown = section.columns[column];
    if (one && shown) onLeak(one.column, { spec: shown, table: section.number }, record);
  });
}

function cellsOf(text: Buffer, kinds: readonly Kind[]): SearchedCells {
  const cells: SearchedCells = { starts: [], ends: [], rows: [], columns: [] };
  let start = 0;
  let row = 0;
  let column = 0;
  for (let at = 0; at < text.length; at += 1) {
    const byte = text[at];
    if (byte !== TAB && byte !== NEWLINE) continue;
    if ((kinds[column] ?? null) !== null) {
      cells.starts.push(start);
      cells.ends.push(at);
      cells.rows.push(row);
      cells.columns.push(column);
    }
    start = at + 1;
    column = byte === TAB ? column + 1 : 0;
    if (byte === NEWLINE) row += 1;
  }
  return cells;
}

/** The cells of each row, as COPY has them. */
function cellTexts(text: Buffer): Cells {
  return text
    .toString('utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split('\t'));
}

/** What stands in a column of tokens, and is none, is a value as it was sent, whatever it looks like. */
function requireTokens(section: Section, cells: Cells, onLeak: OnLeak): void {
  const { kinds, number: table, records } = section;
  for (const [column, spec] of section.columns.entries()) {
    if (isJsonColumn(spec)) requireTokensWithin(section, cells, column, spec, onLeak);
    if (kinds[column] !== 'token') continue;
    const pattern = isList(spec) ? tokenListPattern : tokenPattern;
    for (const [row, { [column]: cell }] of cells.entries())
      if (cell !== undefined && cell !== NULL_FIELD && !pattern.test(cell))
        onLeak({ spec, table }, { spec, table }, records[row] ?? -1);
  }
}

/** The same for the members of a JSON value that are masked by tokens. */
function requireTokensWithin(
  { number: table, records }: Section,
  cells: Cells,
  column: number,
  spec: JsonColumn,
  onLeak: OnLeak,
): void {
  const members = spec.mask.members.filter(({ mask }) => tokenMaskOf({ mask }) !== null);
  if (members.length === 0) return;
  for (const [row, { [column]: cell }] of cells.entries()) {
    if (cell === undefined || cell === NULL_FIELD) continue;
    const value: unknown = JSON.parse(decodeField(cell));
    for (const member of members) {
      const isBare = (text: unknown): boolean =>
        text !== null && !(typeof text === 'string' && tokenPattern.test(text));
      if (placesAt(value, member.steps).some((place) => isBare(place.value)))
        onLeak({ spec: partOf(spec, member), table }, { spec, table }, records[row] ?? -1);
    }
  }
}

/**
 * Compares the values that are too short to be searched for with the kept cells beside them: of the same row, of the
 * same element in another table, or of the same record where one of the two is the same for all its elements.
 */
function compareShort(
  section: Section,
  cells: Cells,
  { occurrences }: RawValues,
  short: readonly (string | null)[],
  onLeak: OnLeak,
): void {
  const { records, list, number: table } = section;
  const first = firstRows(records);
  for (const masked of new Set(occurrences.map((one) => one.column))) {
    const own = occurrences.filter((one) => one.column === masked && short[one.value] !== null);
    for (const [column, spec] of section.columns.entries()) {
      if (section.kinds[column] !== 'kept') continue;
      const isEach = list !== null && isOfElement(spec);
      const pairs: Pair[] = [];
      const equal: number[] = [];
      for (const { value, record, element } of own) {
        const from = first.get(record);
        const text = short[value] ?? null;
        if (from === undefined || text === null) continue;
        // Elements of different lists have nothing to do with each other.
        if (isEach && element !== null && masked.list !== list) continue;
        const rows = rowsBeside(records, from, isEach, element);
        for (const row of rows) {
          const cell = cells[row]?.[column] ?? NULL_FIELD;
          if (cell === NULL_FIELD) continue;
          const folded = cell.toLowerCase();
          pairs.push([text, folded]);
          if (text === folded) equal.push(record);
        }
      }
      if (isRepeated(pairs)) for (const record of equal) onLeak(masked, { spec, table }, record);
    }
  }
}

/** The rows, from the first of a record on, with which a value is compared: that of its element, all of them, or one. */
function rowsBeside(
  records: readonly number[],
  from: number,
  isEach: boolean,
  element: number | null,
): readonly number[] {
  if (!isEach) return [from];
  if (element !== null) return records[from + element] === records[from] ? [from + element] : [];
  const rows: number[] = [];
  for (let row = from; records[row] === records[from]; row += 1) rows.push(row);
  return rows;
}

/** By record, the first of its rows. */
function firstRows(records: readonly number[]): ReadonlyMap<number, number> {
  const first = new Map<number, number>();
  for (const [row, record] of records.entries()) if (!first.has(record)) first.set(record, row);
  return first;
}
