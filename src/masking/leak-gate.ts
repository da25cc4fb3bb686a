// The last look at a masked batch before it leaves `transform`: does it hold a raw value that was just masked? It
// reads the values from the messages itself, and so depends on nothing that the masks did.

import type { Batch, MaskedBatch } from '../batch.js';
import type { Clock } from '../clock.js';
import { NULL_FIELD, decodeField, encodeField, lineEnds } from '../copy-text.js';
import { PipelineError } from '../errors.js';
import { DISTINCTIVE_BYTES, type Pair, isDistinctive, isRepeated, isTelling } from './chance.js';
import { placesAt } from './json-tree.js';
import { type JsonColumn, isJsonColumn, partOf, partsOf } from './parts.js';
import { type ColumnPolicy, type ColumnSpec, isList, tokenMaskOf } from './methods.js';
import { rawForms } from './raw-forms.js';
import { type Occurrence, type RawValues, isSendersOwn, rawValueReader } from './raw-values.js';
import { tokenPattern } from './token.js';

/** Stops batches that would carry raw values away. */
export interface LeakGate {
  /**
   * Throws `leak_found`, which names columns and counts, when the rows of a batch, or the codes, paths and ids beside
   * them, hold a value that was masked. Synchronous; its time grows with the size of the batch.
   */
  check(batch: Batch, masked: MaskedBatch): void;
}

/** A column of the rows: what is in it is, or may be, the sender's text; or a token; null: it can only be text of others. */
type Kind = 'kept' | 'token' | null;

const TAB = 0x09;
const NEWLINE = 0x0a;
/** Tokens and nulls, as a JSON array or as an array of texts. */
const tokenListPattern =
  /^[[{](?:(?:"[hsv][0-9]{1,4}\.[A-Za-z0-9_-]{22,}"|null|NULL)(?:,(?=["nN])|(?=[\]}])))*[\]}]$/;
const rejectionCode = /^[a-z_]{1,32}$/;

/** The gate of one pipeline. Throws `config_invalid` for columns that can't be read. */
export function compileLeakGate(policy: ColumnPolicy, clock: Clock): LeakGate {
  const reader = rawValueReader(policy, clock);
  const columns = policy.columns.filter((spec) => spec.mask.method !== 'drop');
  const kinds = columns.map(kindOf);
  const paths = new Set<string | null>([
    null,
    '*',
    ...policy.columns.flatMap((spec) => [spec, ...partsOf(spec)]).map((spec) => spec.path),
  ]);
  return {
    check: (batch, masked) => {
      const raw = reader.read(batch, masked);
      const names = columns.map((spec) => spec.name);
      const found = new Findings(names);
      if (raw === null || lineEnds(masked.rows).length !== raw.rows)
        found.note('its rows are not those of its messages');
      else {
        const telling = raw.texts.map(isTelling);
        searchRows(masked.rows, raw, telling, kinds, found);
        const cells = cellTexts(masked.rows);
        requireTokens(cells, columns, kinds, found);
        compareShort(cells, raw, telling, kinds, found);
      }
      if (masked.several !== undefined) found.note('it holds rows of further tables, which are not searched');
      if (masked.columns.join('\t') !== names.join('\t'))
        found.note('its columns are not the configured ones');
      const strange = masked.rejections.filter(
        ({ code, path }) => !paths.has(path) || !rejectionCode.test(code),
      );
      if (strange.length > 0)
        found.note(`${strange.length} of its rejections have a path or a code that is no configured one`);
      found.throwIfAny(batch, masked);
    },
  };
}

function kindOf(spec: ColumnSpec): Kind {
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

/** Where the cells are that are searched: cell k is in `rows[k]`, `columns[k]`. */
interface Cells {
  readonly starts: number[];
  readonly ends: number[];
  readonly rows: number[];
  readonly columns: number[];
}

/** Looks for all values that are long enough to be told from chance, in all their forms. */
function searchRows(
  text: Buffer,
  { texts, rows, occurrences }: RawValues,
  telling: readonly boolean[],
  kinds: readonly Kind[],
  found: Findings,
): void {
  const forms = rawForms(texts, telling);
  const cells = cellsOf(text, kinds);
  // The value of a row has its place at value x rows + row; that it occurs at all, at its number below zero.
  const places = new Map<number, Occurrence>();
  for (const one of occurrences) places.set(one.value * rows + one.row, one).set(-1 - one.value, one);
  forms.search.find(text, cells, (form, cell, from, to) => {
    const value = forms.values[form] ?? -1;
    const row = cells.rows[cell] ?? -1;
    const column = cells.columns[cell] ?? -1;
    const own = places.get(value * rows + row);
    const isLong = to - from >= DISTINCTIVE_BYTES;
    const isWhole = from === cells.starts[cell] && to === cells.ends[cell];
    const isOwn = own !== undefined && (isLong || isWhole || kinds[column] === 'kept');
    const isAnyones = isLong && (forms.encoded[form] === true || isDistinctive(texts[value] ?? ''));
    const one = isOwn ? own : isAnyones ? places.get(-1 - value) : undefined;
    if (one) found.add(one.spec, column, row);
  });
}

function cellsOf(text: Buffer, kinds: readonly Kind[]): Cells {
  const cells: Cells = { starts: [], ends: [], rows: [], columns: [] };
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
function cellTexts(text: Buffer): readonly (readonly string[])[] {
  return text
    .toString('utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split('\t'));
}

/** What stands in a column of tokens, and is none, is a value as it was sent, whatever it looks like. */
function requireTokens(
  cells: readonly (readonly string[])[],
  columns: readonly ColumnSpec[],
  kinds: readonly Kind[],
  found: Findings,
): void {
  for (const [column, spec] of columns.entries()) {
    if (isJsonColumn(spec)) requireTokensWithin(cells, column, spec, found);
    if (kinds[column] !== 'token') continue;
    const pattern = isList(spec) ? tokenListPattern : tokenPattern;
    for (const [row, { [column]: cell }] of cells.entries())
      if (cell !== undefined && cell !== NULL_FIELD && !pattern.test(cell)) found.add(spec, column, row);
  }
}

/** The same for the members of a JSON value that are masked by tokens. */
function requireTokensWithin(
  cells: readonly (readonly string[])[],
  column: number,
  spec: JsonColumn,
  found: Findings,
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
        found.add(partOf(spec, member), column, row);
    }
  }
}

/** Compares the values that are too short to be searched for with the kept cells of their own rows. */
function compareShort(
  cells: readonly (readonly string[])[],
  { texts, occurrences }: RawValues,
  telling: readonly boolean[],
  kinds: readonly Kind[],
  found: Findings,
): void {
  if (!telling.includes(false)) return;
  const short = texts.map((value, number) => (telling[number] ? null : encodeField(value).toLowerCase()));
  for (const spec of new Set(occurrences.map((one) => one.spec))) {
    for (const [column, kind] of kinds.entries()) {
      if (kind !== 'kept') continue;
      const pairs: Pair[] = [];
      const equal: number[] = [];
      for (const { value, row } of occurrences.filter((one) => one.spec === spec)) {
        const masked = short[value] ?? null;
        const cell = cells[row]?.[column] ?? NULL_FIELD;
        if (masked === null || cell === NULL_FIELD) continue;
        const folded = cell.toLowerCase();
        pairs.push([masked, folded]);
        if (masked === folded) equal.push(row);
      }
      if (isRepeated(pairs)) for (const row of equal) found.add(spec, column, row);
    }
  }
}

/** What was found, by the column that masks it and the column that shows it. */
class Findings {
  readonly #names: readonly string[];
  readonly #rows = new Map<string, Set<number>>();
  readonly #notes: string[] = [];

  /** The names of the columns of the rows. */
  constructor(names: readonly string[]) {
    this.#names = names;
  }

  /** A value of a masked column is in that column of that row. */
  add({ name }: ColumnSpec, column: number, row: number): void {
    const shown = this.#names[column] ?? '';
    const what = name === shown ? `${name} is not masked` : `what ${name} masks is in ${shown}`;
    const rows = this.#rows.get(what) ?? new Set();
    this.#rows.set(what, rows.add(row));
  }

  note(text: string): void {
    this.#notes.push(text);
  }

  throwIfAny(batch: Batch, masked: MaskedBatch): void {
    const found = [...this.#rows].map(
      ([what, { size }]) => `${what} (${size} of ${masked.keys.length} rows)`,
    );
    const all = [...found, ...this.#notes];
    if (all.length === 0) return;
    throw new PipelineError(
      'leak_found',
      `pipeline ${batch.pipeline}: the leak gate stopped batch ${batch.batchId}: ${all.join('; ')}: compare the fields of these columns, and mask or drop what repeats a masked one`,
    );
  }
}
