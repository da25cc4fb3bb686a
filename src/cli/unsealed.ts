import { NULL_FIELD, decodeField } from '../copy-text.js';
import { PipelineError } from '../errors.js';
import type { QuarantineEntry } from '../load/quarantine-entries.js';
import type { Keyring } from '../masking/keyring.js';
import { type MaskedTable, linesOf, openMasked, openRaw } from '../masking/quarantined.js';
import type { Row } from './output.js';

/**
 * An entry's content: of a raw one the body and what came with it, of a masked one its rows. An entry that can't be
 * opened gets the error's code in `unseal_error`, so that it hides none of the others.
 */
export function unsealedRow(keyring: Keyring, entry: QuarantineEntry): Row {
  try {
    return entry.kind === 'raw' ? rawRow(keyring, entry) : maskedRows(keyring, entry);
  } catch (error) {
    if (error instanceof PipelineError) return { unseal_error: error.code };
    throw error;
  }
}

function rawRow(keyring: Keyring, entry: QuarantineEntry): Row {
  const { body, receivedAt, attributes, groupId = null, sequenceNumber = null } = openRaw(keyring, entry);
  const received_at = new Date(receivedAt).toISOString();
  return { received_at, group_id: groupId, sequence_number: sequenceNumber, attributes, body };
}

/** `row`; of a record with rows in several tables `rows`, by table. */
function maskedRows(keyring: Keyring, entry: QuarantineEntry): Row {
  const tables = openMasked(keyring, entry);
  const [own] = tables;
  if (own?.table === null) return { row: valuesOf(own)[0] ?? {} };
  return { rows: Object.fromEntries(tables.map((one) => [one.table ?? '', valuesOf(one)])) };
}

function valuesOf({ columns, rows }: MaskedTable): readonly Row[] {
  return linesOf(rows).map((fields) => {
    const values = fields.map((field) => (field === NULL_FIELD ? null : decodeField(field)));
    return Object.fromEntries(columns.map((column, index) => [column, values[index] ?? null]));
  });
}

/** Control and format characters, with which a text could steer a terminal or show itself as something else. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** The text with such characters as JSON escapes. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) =>
    [...Array(character.length).keys()]
      .map((unit) => `\\u${character.charCodeAt(unit).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}
