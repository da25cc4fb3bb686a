import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PipelineError } from '../../src/errors.js';
import type { Row } from '../../src/masking/reading.js';
import { type ColumnMask, noneNormalized } from '../../src/masking/refusal.js';
import { maskColumn, readBodies } from '../../src/masking/rows.js';
import { batchOf, column, policyOf } from '../support/masking.js';

const spec = column('k', { required: true });
const policy = policyOf([spec]);

/** The fields and reasons after one column with that mask, over records whose field k is 0, 1, 2, … */
function run(mask: ColumnMask, count: number): { fields: readonly string[]; codes: (string | undefined)[] } {
  const work = readBodies(batchOf(Array.from({ length: count }, (_, i) => JSON.stringify({ k: i }))), policy);
  const fields = maskColumn(
    work,
    { spec, read: (row) => row.fields['k'], mask },
    { trimmed: 0, empty_to_null: 0, sentinel_to_null: 0 },
  );
  return { fields, codes: work.reasons.map((reason) => reason?.code) };
}

test('a mask that throws on one value rejects that record as mask_failed, and masks the others', () => {
  const { fields, codes } = run((values) => {
    if (values.includes(1)) throw new Error('a value: 1');
    return values.map((value) => `masked ${String(value)}`);
  }, 3);
  assert.deepEqual(codes, [undefined, 'mask_failed', undefined]);
  assert.deepEqual([fields[0], fields[2]], ['masked 0', 'masked 2']);
  assert.ok(!fields.includes('1'));
});

test('values that are masked one by one keep the other field that each needs', () => {
  const work = readBodies(batchOf(['{"k":0}', '{"k":1}', '{"k":2}']), policy);
  const mask: ColumnMask = (values, _, companions = []) => {
    if (values.length > 1) throw new Error('no');
    return values.map((value, i) => `${String(value)} of ${String(companions[i])}`);
  };
  const column = { spec, read: (row: Row) => row.fields['k'], companion: (row: Row) => row.record.id, mask };
  assert.deepEqual(maskColumn(work, column, noneNormalized()), [
    '0 of message-0',
    '1 of message-1',
    '2 of message-2',
  ]);
});

test('an error about a key stops the batch, whichever value met it', () => {
  for (const trigger of [0, 2]) {
    const away: ColumnMask = (values) => {
      if (values.includes(trigger)) throw new PipelineError('key_unavailable', 'key 2 is away');
      return values.map(() => 'x');
    };
    assert.throws(
      () => run(away, 3),
      (error) => error instanceof PipelineError && error.code === 'key_unavailable',
    );
  }
});

test('a mask that returns fewer or more cells than values never shifts values to other records', () => {
  const short: ColumnMask = (values) => values.slice(1).map(String);
  assert.deepEqual(run(short, 3).codes, ['mask_failed', 'mask_failed', 'mask_failed']);
  const long: ColumnMask = (values) => [...values.map(String), 'more'];
  assert.deepEqual(run(long, 2).codes, ['mask_failed', 'mask_failed']);
});

test('what a failed attempt counted is not counted again', () => {
  const work = readBodies(batchOf(['{"k":0}', '{"k":1}', '{"k":2}']), policy);
  const normalized = { trimmed: 0, empty_to_null: 0, sentinel_to_null: 0 };
  const mask: ColumnMask = (values, counts) => {
    counts.trimmed += values.length;
    if (values.includes(1)) throw new Error('no');
    return values.map(String);
  };
  maskColumn(work, { spec, read: (row) => row.fields['k'], mask }, normalized);
  assert.equal(normalized.trimmed, 2);
  assert.deepEqual(work.live, [0, 2]);
});
