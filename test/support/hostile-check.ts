// Compares what became of hostile bodies with what was required.

import assert from 'node:assert/strict';
import type { Batch } from '../../src/batch.js';
import { openMessage } from '../../src/source/unwrap.js';
import { AS_IT_IS } from './opening.js';
import { type Field, type HostileCase, type Outcome, type PipelineName, SENT_AT } from './hostile-case.js';
import { primaryMaster } from './masking.js';
import { tokenOracle } from './oracle.js';

const PRIMARY_KID = 2;

/** What was found of one body: its row's fields as text, or its rejection. */
export type Found =
  | { readonly row: Readonly<{ [column: string]: string | null }> }
  | { readonly code: string; readonly path: string | null };

/** Each body is one record, however many a list of them holds. */
export const OPENING = { ...AS_IT_IS, envelope: 'auto' } as const;

/** A batch of one message a body, opened as `envelope: auto` does it; message i is `prefix-i`. */
export function hostileBatch(
  pipeline: PipelineName,
  bodies: readonly string[],
  ids: Pick<Batch, 'batchId' | 'runId'>,
  prefix: string,
): Batch {
  return {
    ...ids,
    pipeline,
    messages: bodies.map((_, i) => ({
      messageId: `${prefix}-${i}`,
      sentAt: SENT_AT,
      receivedAt: SENT_AT + 1_000,
      attributes: {},
    })),
    records: bodies.flatMap((body, i) =>
      openMessage(`${prefix}-${i}`, body, OPENING).records.map((record) => ({ ...record, message: i })),
    ),
  };
}

const known = new Map<string, string | null>();

/** The field as text; tokens are computed by the oracle. */
function textOf(field: Field): string | null {
  if (field === null || typeof field === 'string') return field;
  const { method, domain, as, text, pad, lower } = field;
  const key = JSON.stringify([method, domain, text]);
  if (!known.has(key)) {
    known.set(key, tokenOracle(primaryMaster, PRIMARY_KID, method, domain, as, text, { pad, lower }));
  }
  return known.get(key) ?? null;
}

/** Fails unless what was found is what was required; of a row, only the columns that `compared` lets through. */
export function assertOutcome(
  { name }: HostileCase,
  required: Outcome,
  found: Found | undefined,
  compared: (column: string) => boolean = () => true,
): void {
  assert.ok(found, `${name}: it is neither in the table nor rejected`);
  if ('code' in required || 'code' in found) {
    assert.deepEqual('code' in found ? found : 'a row', 'code' in required ? required : 'a row', name);
    return;
  }
  for (const [column, field] of Object.entries(required.row)) {
    if (!compared(column)) continue;
    const wanted = textOf(field);
    const actual: string | null | undefined = found.row[column];
    if (actual !== wanted) assert.fail(`${name}: ${column} holds ${shown(actual)}, not ${shown(wanted)}`);
  }
}

function shown(value: string | null | undefined): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 200 ? `${text.slice(0, 200)}… of ${text.length}` : text;
}
