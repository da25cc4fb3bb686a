import { decodeField, encodeField } from '../copy-text.js';
import type { Keyring } from './keyring.js';
import { type Masked, asMasked } from './masked.js';
import { type RawRecord, checkKind, readRawRecord, unreadable, writeRawRecord } from './raw-record.js';
import { type Sealed, open, seal } from './seal.js';

/** What is needed of a row of `maskline.quarantine` to open it. */
export interface SealedEntry extends Sealed {
  readonly id: string;
  readonly kind: 'raw' | 'masked';
}

/** Rows of one record in one table, as they were masked at the time. */
export interface MaskedTable {
  /** `schema.table`; null: that of a pipeline of one table. */
  readonly table: string | null;
  /** Names of its columns, as its pipeline had them. */
  readonly columns: readonly string[];
  /** Lines of COPY text, their newline bytes included. */
  readonly rows: Masked<Buffer>;
}

/** The same before it is sealed, when nobody has to vouch for it yet. */
export interface UnsealedTable extends Omit<MaskedTable, 'rows'> {
  readonly rows: Buffer;
}

const PURPOSE = 'quarantine';
/** `M`: a raw body can never be taken for a masked row, even by who changes `kind` in its row. */
const MASKED_KIND = 0x4d;
/** Of one row, and of all rows that a record has in several tables. */
const MASKED_VERSION = { row: 1, record: 2 } as const;
const MASKED_PREFIX_BYTES = 2;
const NEWLINE = 0x0a;

/** Seals a rejected record for the entry of that id. Throws `key_unavailable`. */
export function sealRaw(keyring: Keyring, id: string, record: RawRecord): Sealed {
  return seal(keyring, PURPOSE, id, writeRawRecord(record));
}

/**
 * Seals a refused record for the entry of that id: kind u8, version u8, and COPY text as `openMasked` reads it. Throws
 * `key_unavailable`.
 */
export function sealMasked(
  keyring: Keyring,
  id: string,
  copyText: Buffer,
  form: keyof typeof MASKED_VERSION = 'row',
): Sealed {
  const prefix = Buffer.from([MASKED_KIND, MASKED_VERSION[form]]);
  return seal(keyring, PURPOSE, id, Buffer.concat([prefix, copyText]));
}

/** Opens an entry of kind `raw`. Throws `key_unavailable`, `payload_newer` or `payload_corrupt`. */
export function openRaw(keyring: Keyring, { id, kid, sealed }: SealedEntry): RawRecord {
  return readRawRecord(id, open(keyring, PURPOSE, id, kid, sealed));
}

/**
 * Opens an entry of kind `masked`, and vouches for its rows: what was sealed as masked came out of the mask. Of a `row`
 * it holds two lines, the names of the columns and the row; of a `record`, for each table in which it has rows, a line of
 * the name and their number before them. Throws `key_unavailable`, `payload_newer` or `payload_corrupt`.
 */
export function openMasked(keyring: Keyring, { id, kid, sealed }: SealedEntry): readonly MaskedTable[] {
  const plain = open(keyring, PURPOSE, id, kid, sealed);
  const isRow = plain[1] === MASKED_VERSION.row;
  checkKind(id, plain, MASKED_KIND, isRow ? MASKED_VERSION.row : MASKED_VERSION.record);
  const lines = new Lines(id, plain);
  const tables: MaskedTable[] = [];
  while (!lines.isAtEnd) {
    const { table, count } = isRow ? { table: null, count: 1 } : headOf(id, lines.next());
    const columns = fieldsOf(lines.next()).map(decodeField);
    tables.push({ table, columns, rows: asMasked(lines.rows(count, columns.length)) });
  }
  if (tables.length === 0 || (isRow && tables.length > 1)) throw unreadable(id, 'its lines');
  return tables;
}

/** Seals tables as they were opened, or with other rows. Throws `key_unavailable`. */
export function sealTables(keyring: Keyring, id: string, tables: readonly UnsealedTable[]): Sealed {
  const isRow = tables[0]?.table === null;
  const text = tables.flatMap(({ table, columns, rows }) => [
    ...(table === null ? [] : [`${encodeField(table)}\t${String(linesOf(rows).length)}\n`]),
    `${columns.map(encodeField).join('\t')}\n`,
    rows.toString('utf8'),
  ]);
  return sealMasked(keyring, id, Buffer.from(text.join(''), 'utf8'), isRow ? 'row' : 'record');
}

/** The lines of such rows, without their newline bytes, each as its fields. */
export function linesOf(rows: Buffer): readonly (readonly string[])[] {
  const lines = rows.toString('utf8').split('\n');
  return lines.slice(0, -1).map((line) => line.split('\t'));
}

/** The table that rows are for, and how many there are. */
function headOf(id: string, line: Buffer): { readonly table: string; readonly count: number } {
  const [table = '', count = '', ...others] = fieldsOf(line);
  if (!/^[1-9][0-9]{0,8}$/.test(count) || others.length > 0) throw unreadable(id, 'the number of its rows');
  return { table: decodeField(table), count: Number(count) };
}

/** Goes through what was sealed line by line. */
class Lines {
  readonly #id: string;
  readonly #plain: Buffer;
  #at = MASKED_PREFIX_BYTES;

  constructor(id: string, plain: Buffer) {
    this.#id = id;
    this.#plain = plain;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#plain.length;
  }

  /** Without its newline byte. */
  next(): Buffer {
    const end = this.#plain.indexOf(NEWLINE, this.#at);
    if (end === -1) throw unreadable(this.#id, 'its lines');
    const line = this.#plain.subarray(this.#at, end);
    this.#at = end + 1;
    return line;
  }

  /** So many lines, each of so many fields. */
  rows(count: number, fields: number): Buffer {
    const start = this.#at;
    for (let row = 0; row < count; row += 1)
      if (fieldsOf(this.next()).length !== fields) throw unreadable(this.#id, 'the number of its columns');
    return this.#plain.subarray(start, this.#at);
  }
}

/** Rows of the same columns, one after the other. */
export function joinRows(rows: readonly Masked<Buffer>[]): Masked<Buffer> {
  return asMasked(Buffer.concat(rows));
}

function fieldsOf(line: Buffer): readonly string[] {
  return line.toString('utf8').split('\t');
}
