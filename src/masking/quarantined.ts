import { decodeField } from '../copy-text.js';
import type { Keyring } from './keyring.js';
import { type Masked, asMasked } from './masked.js';
import { type RawRecord, checkKind, readRawRecord, unreadable, writeRawRecord } from './raw-record.js';
import { type Sealed, open, seal } from './seal.js';

/** What is needed of a row of `maskline.quarantine` to open it. */
export interface SealedEntry extends Sealed {
  readonly id: string;
  readonly kind: 'raw' | 'masked';
}

/** A row that the table refused, as it was masked at the time. */
export interface MaskedRow {
  /** Names of its columns, as its pipeline had them. */
  readonly columns: readonly string[];
  /** One line of COPY text, its newline byte included. */
  readonly row: Masked<Buffer>;
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
 * Seals a refused row for the entry of that id: kind u8, version u8, and COPY text of two lines, the names of the
 * columns and the row; of a `record`, what `openMaskedRecord` takes apart. Throws `key_unavailable`.
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
 * Opens an entry of kind `masked`, and vouches for its row: what was sealed as a masked row came out of the mask.
 * Throws `key_unavailable`, `payload_newer` or `payload_corrupt`.
 */
export function openMasked(keyring: Keyring, { id, kid, sealed }: SealedEntry): MaskedRow {
  const plain = open(keyring, PURPOSE, id, kid, sealed);
  checkKind(id, plain, MASKED_KIND, MASKED_VERSION.row);
  const headerEnd = plain.indexOf(NEWLINE);
  const row = plain.subarray(headerEnd + 1);
  if (headerEnd === -1 || row.length === 0 || row.indexOf(NEWLINE) !== row.length - 1)
    throw unreadable(id, 'its lines');
  const columns = fieldsOf(plain.subarray(MASKED_PREFIX_BYTES, headerEnd));
  if (fieldsOf(row).length !== columns.length) throw unreadable(id, 'the number of its columns');
  return { columns: columns.map(decodeField), row: asMasked(row) };
}

/** Rows of one record in one table, as they were masked at the time. */
export interface MaskedTable {
  /** `schema.table`. */
  readonly table: string;
  readonly columns: readonly string[];
  readonly rows: Masked<Buffer>;
}

/**
 * Opens an entry of kind `masked` that holds all rows of a record in several tables: for each table a line of its name
 * and the number of rows, a line of the names of its columns, and the rows. Throws as `openMasked` does.
 */
export function openMaskedRecord(keyring: Keyring, { id, kid, sealed }: SealedEntry): readonly MaskedTable[] {
  const plain = open(keyring, PURPOSE, id, kid, sealed);
  checkKind(id, plain, MASKED_KIND, MASKED_VERSION.record);
  const tables: MaskedTable[] = [];
  let at = MASKED_PREFIX_BYTES;
  const nextLine = (): Buffer => {
    const end = plain.indexOf(NEWLINE, at);
    if (end === -1) throw unreadable(id, 'its lines');
    const line = plain.subarray(at, end + 1);
    at = end + 1;
    return line;
  };
  while (at < plain.length) {
    const [table = '', count = '', ...others] = fieldsOf(nextLine().subarray(0, -1));
    const columns = fieldsOf(nextLine().subarray(0, -1)).map(decodeField);
    if (!/^[1-9][0-9]{0,8}$/.test(count) || others.length > 0) throw unreadable(id, 'the number of its rows');
    const start = at;
    for (let row = 0; row < Number(count); row += 1)
      if (fieldsOf(nextLine()).length !== columns.length) throw unreadable(id, 'the number of its columns');
    tables.push({ table: decodeField(table), columns, rows: asMasked(plain.subarray(start, at)) });
  }
  if (tables.length === 0) throw unreadable(id, 'its tables');
  return tables;
}

/** Rows of the same columns, one after the other. */
export function joinRows(rows: readonly Masked<Buffer>[]): Masked<Buffer> {
  return asMasked(Buffer.concat(rows));
}

function fieldsOf(line: Buffer): readonly string[] {
  return line.toString('utf8').split('\t');
}
