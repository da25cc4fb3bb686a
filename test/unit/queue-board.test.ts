import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type RawJob, boardJob, isBatchId } from '../../src/queue/board.js';

const ID = '019ca8c0-0000-7000-8000-00000000000a';
const ADDED = Date.parse('2026-03-01T12:00:00.000Z');

const OURS: RawJob = {
  id: ID,
  name: 'batch',
  data: { v: 1, kid: 7, n: 500, bytes: 81_920, ct: 'c2VhbGVk' },
  opts: { attempts: 8 },
  attemptsMade: 3,
  stalledCounter: 1,
  timestamp: ADDED,
  processedOn: ADDED + 5,
  finishedOn: ADDED + 9,
  delay: 0,
  failedReason: 'table_unfit: column x of public.t is too short',
};

test('of a job of ours everything shows but its sealed bytes and the text of its error', () => {
  assert.deepEqual(boardJob(OURS, 1), {
    id: ID,
    name: 'batch',
    payload: { v: 1, kid: 7, n: 500, bytes: 81_920 },
    attemptsMade: 3,
    attempts: 8,
    takeovers: 1,
    addedAt: ADDED,
    startedAt: ADDED + 5,
    finishedAt: ADDED + 9,
    delayMs: 0,
    failure: 'table_unfit: run `maskline validate --connect`, then mend the table or the column',
  });
});

test('a payload of a newer version shows its version, and what else can be read of it', () => {
  const { payload } = boardJob({ ...OURS, data: { v: 2, records: 'many', n: 3 } }, 1);
  assert.deepEqual(payload, { v: 2, kid: null, n: 3, bytes: null });
});

test('a job whose workers died too often says so, though the words are those of BullMQ', () => {
  const { failure } = boardJob({ ...OURS, failedReason: 'job stalled more than allowable limit' }, 1);
  assert.match(String(failure), /^worker_died: /);
});

test('a job that never failed has no failure', () => {
  for (const failedReason of [undefined, null, '']) {
    assert.equal(boardJob({ ...OURS, failedReason }, 1).failure, null);
  }
});

test('whatever a job holds, no text of it is shown, and no number that could not be ours', () => {
  const texts = new Set([
    'batch',
    'not of maskline',
    'not a reason of maskline (withheld: it may quote data)',
    'foreign-7',
  ]);
  const value = fc.oneof(fc.anything(), fc.string(), fc.integer(), fc.double(), fc.constant('toString: x'));
  const job = fc.record(
    {
      id: value,
      name: value,
      data: fc.oneof(value, fc.record({ v: value, kid: value, n: value, bytes: value, ct: value })),
      opts: fc.record({ attempts: value }),
      attemptsMade: value,
      stalledCounter: value,
      timestamp: value,
      processedOn: value,
      finishedOn: value,
      delay: value,
      failedReason: value,
    },
    { requiredKeys: [] },
  );
  const seed = Number(process.env['MASKLINE_TEST_SEED'] ?? Date.now() % 2 ** 31);
  fc.assert(
    fc.property(job, (raw) => {
      const shown = boardJob(raw, 7);
      const parts: readonly unknown[] = [
        ...Object.values<unknown>({ ...shown }),
        ...Object.values<unknown>({ ...shown.payload }),
      ];
      for (const part of parts) {
        if (typeof part === 'string') assert.ok(texts.has(part), part);
        if (typeof part === 'number') assert.ok(Number.isSafeInteger(part) && part >= 0);
      }
      for (const time of [shown.addedAt, shown.startedAt, shown.finishedAt]) {
        assert.ok(time === null || time === 0 || new Date(time).getUTCFullYear() >= 2020);
      }
    }),
    { seed, numRuns: 2_000 },
  );
});

test('only the ids of batches are taken for ids of batches', () => {
  assert.equal(isBatchId(ID), true);
  for (const id of ['1', '', ID.toUpperCase(), `${ID}\n`, ` ${ID}`, `${ID}x`, 7, null, undefined, [ID]]) {
    assert.equal(isBatchId(id), false, String(id));
  }
});
