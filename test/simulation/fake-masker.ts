import type { Batch, RecordKey, Rejection } from '../../src/batch.js';
import type { Clock } from '../../src/clock.js';
import { PipelineError } from '../../src/errors.js';
import { groupsOf } from '../../src/masking/groups.js';
import type { Masker } from '../../src/masking/mask.js';
import { asMasked } from '../../src/masking/masked.js';
import type { Faults } from './faults.js';

/** Bodies: `good N`, `bad N` (rejected by the masker), `unfit N` (a row that the table refuses). */
export const BAD = 'bad';
export const UNFIT = 'unfit';

/** What masking makes of a body. */
export function maskedText(body: string): string {
  return `masked ${body}`;
}

/** Stands in for masking, which is tested elsewhere: the text of a row tells which message it came from. */
export function fakeMasker(
  clock: Clock,
  faults: Faults,
  { held, isMended }: { readonly held: boolean; readonly isMended: () => boolean },
): Masker {
  return {
    mask: (batch) => {
      if (faults.strikes('masker_throws', batch.batchId)) throw new Error('the masker fell over');
      if (faults.strikes('masker_without_key', batch.batchId))
        throw new PipelineError('key_unavailable', 'there is no key 1');
      return maskBatch(batch, clock, held, isMended());
    },
  };
}

function maskBatch(batch: Batch, clock: Clock, held: boolean, mended: boolean): ReturnType<Masker['mask']> {
  const keys: RecordKey[] = [];
  const lines: string[] = [];
  const rejections: Rejection[] = [];
  for (const { id, message, body } of batch.records) {
    const head = batch.messages[message];
    if (head === undefined) throw new RangeError('a record without its message');
    const key = { id, sentAt: head.sentAt, messageId: head.messageId, message };
    if (body.startsWith(BAD) && !mended) {
      const sealed = Buffer.from(body);
      const reason = { code: 'not_json', path: null, kind: 'raw' } as const;
      rejections.push({ ...key, ...reason, quarantineId: clock.id(), sealed, kid: 1, held });
    } else {
      keys.push(key);
      lines.push(`${maskedText(body)}\n`);
    }
  }
  const { batchId, runId, pipeline } = batch;
  return {
    masked: {
      batchId,
      runId,
      pipeline,
      messages: batch.messages.length,
      ...groupsOf(batch),
      receivedAt: Math.min(...batch.messages.map((head) => head.receivedAt)),
      policySha256: '0'.repeat(64),
      kids: [1],
      columns: ['text'],
      keys,
      rows: asMasked(Buffer.from(lines.join(''))),
      rejections,
    },
    counts: {
      rows: keys.length,
      rejected: rejections.length,
      masked: {},
      normalized: { trimmed: 0, empty_to_null: 0, sentinel_to_null: 0 },
      fieldsDropped: 0,
    },
  };
}
