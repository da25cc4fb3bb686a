// What becomes of the records of a batch that are no rows.

import type { Batch, InputRecord, MessageHead, RecordKey, Rejection, RejectionCode } from '../batch.js';
import type { Clock } from '../clock.js';
import type { Keyring } from './keyring.js';
import type { ColumnPolicy } from './methods.js';
import { sealRaw } from './quarantined.js';
import type { RawRecord } from './raw-record.js';
import type { Work } from './rows.js';

/** What a batch's rejected records leave, sealed. Throws `key_unavailable`. */
export function sealRejections(
  work: Work,
  policy: ColumnPolicy,
  keyring: Keyring,
  clock: Clock,
): readonly Rejection[] {
  return work.reasons.flatMap((reason, i) => {
    if (!reason) return [];
    const quarantineId = clock.id();
    return [
      {
        ...keyOf(work.batch, i),
        quarantineId,
        ...reason,
        kind: 'raw' as const,
        ...sealRaw(keyring, quarantineId, rawRecordOf(work.batch, i)),
        held: policy.onReject === 'dlq',
      },
    ];
  });
}

/** What was rejected for these had been opened. */
const OPENED: ReadonlySet<RejectionCode> = new Set(['crashed_worker', 'no_route']);

function rawRecordOf(batch: Batch, i: number): RawRecord {
  const { record, head } = recordAt(batch, i);
  const { receivedAt, attributes, groupId, sequenceNumber } = head;
  return {
    body: record.body,
    badEnvelope: record.rejected !== undefined && !OPENED.has(record.rejected),
    receivedAt,
    attributes,
    ...(groupId === undefined ? {} : { groupId }),
    ...(sequenceNumber === undefined ? {} : { sequenceNumber }),
  };
}

/** What tells record i of a batch from others. */
export function keyOf(batch: Batch, i: number): RecordKey {
  const { record, head } = recordAt(batch, i);
  return { id: record.id, sentAt: head.sentAt, messageId: head.messageId, message: record.message };
}

function recordAt(batch: Batch, i: number): { readonly record: InputRecord; readonly head: MessageHead } {
  const record = batch.records[i];
  const head = record && batch.messages[record.message];
  if (!head) throw new RangeError('no such record');
  return { record, head };
}
