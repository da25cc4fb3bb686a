import type { Batch, Envelope, InputRecord, MaskedBatch, MessageHead, RejectionCode } from '../batch.js';
import type { Clock } from '../clock.js';
import type { PipelineConfig } from '../config/config.js';
import { NULL_FIELD, decodeField } from '../copy-text.js';
import { PipelineError } from '../errors.js';
import type { Keyring } from '../masking/keyring.js';
import { compileMasker } from '../masking/mask.js';
import { placesAt, readExact, writeJson } from '../masking/json-tree.js';
import type { ColumnPolicy, ColumnSpec, FieldPath } from '../masking/methods.js';
import { isJsonColumn, partOf } from '../masking/parts.js';
import { candidateTokens } from '../masking/vault.js';
import { ownRecord } from '../source/route.js';
import { openMessage } from '../source/unwrap.js';

/** Columns and parts of them by their names, in the text that Postgres would read; null for NULL. */
export type OutcomeRow = ReadonlyMap<string, string | null>;

/** What became of a record: rows, or a rejection. */
export type Outcome =
  | {
      readonly row: OutcomeRow;
      /** Rows of further tables, by `schema.table`, in the order of their elements. */
      readonly further: ReadonlyMap<string, readonly OutcomeRow[]>;
    }
  | { readonly rejected: { readonly code: RejectionCode; readonly path: string | null } };

/** A record and what the masks made of it. */
export interface Rehearsed {
  /** Index of its message. */
  readonly message: number;
  readonly head: MessageHead;
  readonly record: InputRecord;
  /** Of a row that is an element of the record: which, and of what list. */
  readonly element?: { readonly index: number; readonly place: FieldPath };
  readonly outcome: Outcome;
}

/** A pipeline as far as its masks go. */
export type RehearsedPipeline = Pick<PipelineConfig, 'name' | 'policy'> & {
  /** Absent: all records are its own. */
  readonly route?: PipelineConfig['route'];
  readonly source: Pick<PipelineConfig['source'], 'opening'>;
};

/** As many as a batch of the default size holds. */
const BATCH_MESSAGES = 1_000;
/** Nothing else waits here while custom masks are tried. */
const BLOCK_MS = 60_000;

/**
 * What a pipeline makes of messages, without a server: by the same masker as in production. Records come in the order
 * of their messages. Throws `key_unavailable`.
 */
export function rehearse(
  pipeline: RehearsedPipeline,
  keyring: Keyring,
  clock: Clock,
  envelopes: readonly Envelope[],
): readonly Rehearsed[] {
  const masker = compileMasker(pipeline.policy, keyring, clock, { blockMs: BLOCK_MS });
  const rehearsed: Rehearsed[] = [];
  // Instead of a vault's: equal for equal values, and forgotten.
  const tokens = new Map<string, string>();
  for (let from = 0; from < envelopes.length; from += BATCH_MESSAGES) {
    const part = envelopes.slice(from, from + BATCH_MESSAGES);
    const batch = batchOf(pipeline, clock, part);
    for (const [lookup, token] of candidateTokens(masker.wanted(batch))) {
      if (!tokens.has(lookup)) tokens.set(lookup, token);
    }
    const { masked } = masker.mask(batch, tokens);
    const outcomes = new Map<string, Outcome>();
    for (const [id, row] of rowsOf(pipeline.policy, masked)) outcomes.set(id, row);
    for (const { id, code, path } of masked.rejections) outcomes.set(id, { rejected: { code, path } });
    for (const record of batch.records) {
      const outcome = outcomes.get(record.id);
      const head = batch.messages[record.message];
      if (!outcome || !head) throw new PipelineError('unexpected', 'a record has no outcome');
      rehearsed.push({ message: from + record.message, head, record, outcome });
    }
  }
  return rehearsed;
}

/** The rows of each record that has some, by its id. */
function rowsOf(
  { columns, several }: ColumnPolicy,
  masked: MaskedBatch,
): readonly (readonly [id: string, outcome: Outcome])[] {
  const linesOf = (rows: Buffer): readonly string[] => rows.toString('utf8').split('\n');
  const own = linesOf(masked.rows);
  const tables = (masked.several?.further ?? []).map(({ table, columns: names, records, rows }) => {
    const specs = several?.further.find((one) => one.table === table)?.columns ?? [];
    const byRecord = new Map<number, OutcomeRow[]>();
    const lines = linesOf(rows);
    for (const [k, record] of records.entries()) {
      const row = withParts(specs, rowOf(names, lines[k] ?? ''));
      byRecord.set(record, [...(byRecord.get(record) ?? []), row]);
    }
    return { table, byRecord };
  });
  return masked.keys.map(({ id }, k) => {
    const further = new Map(tables.map(({ table, byRecord }) => [table, byRecord.get(k) ?? []]));
    return [id, { row: withParts(columns, rowOf(masked.columns, own[k] ?? '')), further }];
  });
}

/** Ids are those of this batch only: samples may hold a message twice. */
function batchOf(pipeline: RehearsedPipeline, clock: Clock, envelopes: readonly Envelope[]): Batch {
  const opened = envelopes.map(({ body }, message) =>
    openMessage(String(message), body, pipeline.source.opening),
  );
  const messages = envelopes.map(({ body: _, ...head }, message) => ({
    ...head,
    attributes: { ...opened[message]?.attributes, ...head.attributes },
  }));
  const { name, route = null } = pipeline;
  return {
    batchId: clock.id(),
    runId: clock.id(),
    pipeline: name,
    messages,
    records: opened.flatMap(({ records }, message) =>
      records.map((record) => ({
        ...ownRecord(route, name, record, messages[message]?.attributes ?? {}),
        message,
      })),
    ),
  };
}

/** The row, and the parts of JSON values by their names: of a part that is many, a JSON array; of one that is not there, none. */
function withParts(columns: readonly ColumnSpec[], row: OutcomeRow): OutcomeRow {
  const all = new Map(row);
  for (const column of columns.filter(isJsonColumn)) {
    const json = row.get(column.name) ?? null;
    if (json === null) continue;
    const value = readExact(json);
    for (const member of column.mask.members) {
      const { name, type } = partOf(column, member);
      const found = placesAt(value, member.steps).map((place) => place.value);
      if (type !== 'text') all.set(name, writeJson(found));
      else if (found.length > 0) all.set(name, textOf(found[0]));
    }
    if (column.mask.others === 'keep') all.set(`${column.name}.*`, json);
  }
  return all;
}

function textOf(value: unknown): string | null {
  return value === null || typeof value === 'string' ? value : writeJson(value);
}

function rowOf(columns: readonly string[], line: string): OutcomeRow {
  const fields = line.split('\t');
  return new Map(
    columns.map((name, c) => {
      const field = fields[c] ?? NULL_FIELD;
      return [name, field === NULL_FIELD ? null : decodeField(field)];
    }),
  );
}
