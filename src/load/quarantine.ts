import type { ClientBase } from 'pg';
import type { MaskedBatch, Rejection } from '../batch.js';
import { encodeField } from '../copy-text.js';
import { isoTime } from './ledger.js';

const INSERT = `
  insert into maskline.quarantine
    (id, pipeline, record_id, message_id, batch_id, code, path, kind, sealed, kid, sent_at)
  select t.id, $1, t.record_id, t.message_id, $2, t.code, t.path, t.kind, t.sealed, t.kid, t.sent_at
    from unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bytea[], $10::int[],
                $11::timestamptz[])
      as t (id, record_id, message_id, code, path, kind, sealed, kid, sent_at)`;

/** Writes rejected records, within the caller's transaction. */
export async function quarantine(
  client: ClientBase,
  batch: Pick<MaskedBatch, 'pipeline' | 'batchId'>,
  rejections: readonly Rejection[],
): Promise<void> {
  if (rejections.length === 0) return;
  await client.query(INSERT, [
    batch.pipeline,
    batch.batchId,
    rejections.map((r) => r.quarantineId),
    rejections.map((r) => r.id),
    rejections.map((r) => r.messageId),
    rejections.map((r) => r.code),
    rejections.map((r) => r.path),
    rejections.map((r) => r.kind),
    rejections.map((r) => r.sealed),
    rejections.map((r) => r.kid),
    rejections.map((r) => isoTime(r.sentAt)),
  ]);
}

/**
 * What is sealed of a masked row: COPY text of two lines, the names of its columns and the row itself, so that it
 * can be replayed when the pipeline's columns have changed. `COPY … (FORMAT text, HEADER match)` reads it.
 */
export function maskedRow(columns: readonly string[], line: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${columns.map(encodeField).join('\t')}\n`, 'utf8'), line]);
}

/** What is sealed of a refused record: one row, or all of its rows in several tables. */
export type MaskedForm = 'row' | 'record';

/** Rows of one record in one table. */
export interface TableRows {
  /** `schema.table`. */
  readonly table: string;
  readonly columns: readonly string[];
  /** COPY text, each ended by a newline byte. */
  readonly lines: readonly Buffer[];
}

/**
 * The same for a record with rows in several tables: for each table in which it has some, a line of its name and the
 * number of rows, a line of the names of its columns, and the rows.
 */
export function maskedRecord(tables: readonly TableRows[]): Buffer {
  return Buffer.concat(
    tables.flatMap(({ table, columns, lines }) => {
      if (lines.length === 0) return [];
      const head = `${encodeField(table)}\t${lines.length}\n${columns.map(encodeField).join('\t')}\n`;
      return [Buffer.from(head, 'utf8'), ...lines];
    }),
  );
}
