import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Batch, Fate, Receipt } from '../../src/batch.js';
import type { PartLimits } from '../../src/parted.js';
import { type BreakerLimits, Run } from '../../src/run.js';

const STARTED_AT = 1_750_000_000_000;
const NOTHING = { acked: [], released: [] };

function newRun(
  options: {
    readonly breaker?: BreakerLimits;
    readonly maxRecords?: number;
    readonly partLimits?: PartLimits;
    readonly holdingFails?: boolean;
  } = {},
): Run {
  return new Run({ runId: 'run', pipeline: 'logins', trigger: 'drain', startedAt: STARTED_AT, ...options });
}

function batchOf(batchId: string, records: number): Batch {
  const messages = Array.from({ length: records }, (_, index) => ({
    messageId: `${batchId}-${index}`,
    sentAt: STARTED_AT - 1_000,
    receivedAt: STARTED_AT + index,
    attributes: {},
  }));
  return {
    batchId,
    runId: 'run',
    pipeline: 'logins',
    messages,
    records: messages.map(({ messageId }, message) => ({ id: messageId, message, body: '{}' })),
  };
}

function receiptsOf(batch: Batch): readonly Receipt[] {
  return batch.messages.map(({ messageId, receivedAt }) => ({
    messageId,
    handle: `handle of ${messageId}`,
    receiveCount: 1,
    receivedAt,
    bytes: 2,
  }));
}

function hold(run: Run, batchId: string, records: number): readonly Receipt[] {
  const batch = batchOf(batchId, records);
  const receipts = receiptsOf(batch);
  run.hold(batch, receipts, STARTED_AT + 5);
  return receipts;
}

function committed(batchId: string, counts: Partial<Fate>): Fate {
  const none = { received: 0, loaded: 0, duplicates: 0, quarantined: 0, released: 0 };
  return { batchId, state: 'committed', held: [], ...none, ...counts };
}

function released(batchId: string, records: number): Fate {
  return { ...committed(batchId, { received: records, released: records }), state: 'released' };
}

describe('a run', () => {
  test('hands out the receipts of a batch exactly once, whoever asks', () => {
    const run = newRun();
    const receipts = hold(run, 'a', 3);
    const fate = committed('a', { received: 3, loaded: 3 });
    run.settle(fate);
    assert.deepEqual(run.takeDue(), { acked: receipts, released: [] });
    run.settle(fate);
    assert.deepEqual(run.takeDue(), NOTHING);
    assert.equal(run.report(STARTED_AT + 10).loaded, 3);
  });

  test('knows nothing of the fate of a batch that it does not hold', () => {
    const run = newRun();
    run.settle(committed('of another run', { received: 7, loaded: 7 }));
    assert.deepEqual(run.takeDue(), NOTHING);
    assert.equal(run.report(STARTED_AT + 10).received, 0);
  });

  test('is finished only when nothing more will come and nothing is held', () => {
    const run = newRun();
    assert.equal(run.finished, false);
    hold(run, 'a', 1);
    run.drained();
    assert.equal(run.finished, false);
    run.settle(committed('a', { received: 1, loaded: 1 }));
    assert.equal(run.finished, false, 'a receipt is not handed out');
    run.takeDue();
    assert.equal(run.finished, true);
  });

  test('its report adds up, by outcome, over committed and released batches', () => {
    const run = newRun();
    hold(run, 'a', 6);
    hold(run, 'b', 4);
    run.settle(committed('a', { received: 6, loaded: 2, duplicates: 1, quarantined: 2, released: 1 }));
    run.settle(released('b', 4));
    run.drained();
    assert.deepEqual(run.report(STARTED_AT + 99), {
      runId: 'run',
      pipeline: 'logins',
      trigger: 'drain',
      state: 'failed',
      startedAt: STARTED_AT,
      finishedAt: STARTED_AT + 99,
      received: 10,
      loaded: 2,
      duplicates: 1,
      quarantined: 2,
      released: 5,
    });
  });

  test('one that holds back a group fails under `fifo: block`, and not under `on_reject: dlq`', () => {
    for (const holdingFails of [true, false]) {
      const run = newRun({ holdingFails });
      hold(run, 'a', 2);
      run.settle({ ...committed('a', { received: 2, loaded: 1, released: 1 }), held: [1] });
      run.drained();
      assert.equal(run.report(STARTED_AT + 1).state, holdingFails ? 'failed' : 'succeeded');
    }
  });

  test('what it holds is listed oldest first, with the time of the first receive', () => {
    const run = newRun();
    hold(run, 'b', 2);
    hold(run, 'a', 3);
    assert.deepEqual(
      run.held.map(({ batchId, records, receivedAt, heldAt }) => ({ batchId, records, receivedAt, heldAt })),
      [
        { batchId: 'b', records: 2, receivedAt: STARTED_AT, heldAt: STARTED_AT + 5 },
        { batchId: 'a', records: 3, receivedAt: STARTED_AT, heldAt: STARTED_AT + 5 },
      ],
    );
  });

  test('succeeds when all is settled, also with records held for the dead-letter queue', () => {
    const run = newRun();
    hold(run, 'a', 2);
    run.settle(committed('a', { received: 2, loaded: 1, released: 1, held: [1] }));
    run.drained();
    assert.equal(run.report(STARTED_AT).state, 'succeeded');
  });

  test('fails when a batch was let go, and when one was abandoned', () => {
    const letGo = newRun();
    hold(letGo, 'a', 1);
    letGo.settle(released('a', 1));
    assert.equal(letGo.report(STARTED_AT).state, 'failed');
    const abandoned = newRun();
    hold(abandoned, 'a', 1);
    assert.equal(abandoned.report(STARTED_AT).state, 'failed');
  });

  test('is running for as long as it has no end', () => {
    assert.equal(newRun().report(null).state, 'running');
  });
});

/** Holds a batch of one part of the message `m`, of one record. */
function holdPart(run: Run, batchId: string, more: boolean): Receipt {
  const [receipt] = receiptsOf(batchOf('m', 1));
  assert.ok(receipt);
  const part = { ...receipt, ...(more ? { more } : {}) };
  run.hold(batchOf(batchId, 1), [part], STARTED_AT);
  return part;
}

describe('a message that comes in parts', () => {
  const loaded = (batchId: string): Fate => committed(batchId, { received: 1, loaded: 1 });

  test('is acked when every part is committed, in whatever order, and no more is to come', () => {
    const run = newRun();
    holdPart(run, 'a', true);
    run.settle(loaded('a'));
    assert.deepEqual(run.takeDue(), NOTHING, 'more is to come');
    holdPart(run, 'b', true);
    holdPart(run, 'c', false);
    run.settle(loaded('c'));
    assert.deepEqual(run.takeDue(), NOTHING, 'the second part has no fate');
    run.settle(loaded('b'));
    const due = run.takeDue();
    assert.deepEqual([due.acked.map(({ handle }) => handle), due.released], [['handle of m-0'], []]);
    run.drained();
    assert.equal(run.finished, true);
    assert.deepEqual(run.report(STARTED_AT + 1).state, 'succeeded');
  });

  test('is released once all parts have a fate, when one was released or holds a record back', () => {
    const fates = {
      released: released('a', 1),
      held: committed('a', { received: 1, released: 1, held: [0] }),
    };
    for (const fate of Object.values(fates)) {
      const run = newRun();
      holdPart(run, 'a', true);
      holdPart(run, 'b', false);
      run.settle(fate);
      assert.deepEqual(run.takeDue(), NOTHING);
      run.settle(loaded('b'));
      const due = run.takeDue();
      assert.deepEqual([due.acked, due.released.map(({ handle }) => handle)], [[], ['handle of m-0']]);
    }
  });

  test('is released when its last part never came, once the parts that came have a fate', () => {
    const run = newRun();
    holdPart(run, 'a', true);
    run.stop('failed');
    run.drained();
    assert.deepEqual(run.takeDue(), NOTHING);
    assert.equal(run.finished, false);
    run.settle(loaded('a'));
    assert.deepEqual(
      run.takeDue().released.map(({ handle }) => handle),
      ['handle of m-0'],
    );
    assert.equal(run.finished, true);
  });

  test('is released at the end of receiving when all parts that came have a fate by then', () => {
    const run = newRun();
    holdPart(run, 'a', true);
    run.settle(loaded('a'));
    run.drained();
    assert.equal(run.finished, false);
    assert.deepEqual(
      run.takeDue().released.map(({ handle }) => handle),
      ['handle of m-0'],
    );
    assert.equal(run.finished, true);
  });

  test('leaves the other messages of its batches alone', () => {
    const run = newRun();
    const [other, first] = receiptsOf(batchOf('x', 2));
    assert.ok(other && first);
    run.hold(batchOf('a', 2), [other, { ...first, more: true }], STARTED_AT);
    run.hold(batchOf('b', 1), [first], STARTED_AT);
    run.settle(committed('a', { received: 2, loaded: 2 }));
    assert.deepEqual(run.takeDue(), { acked: [other], released: [] });
    run.settle(released('b', 1));
    assert.deepEqual(run.takeDue(), { acked: [], released: [first] });
  });

  test('waits for room while as much of it is under way as may be, and no longer than the run', async () => {
    const never = new AbortController().signal;
    const limits = { partLimits: { records: 2, bytes: 1_000 } };
    const run = newRun(limits);
    hold(run, 'whole', 5);
    await run.room(never);
    holdPart(run, 'a', true);
    await run.room(never);
    holdPart(run, 'b', true);
    const order: string[] = [];
    const waiting = run.room(never).then(() => order.push('room'));
    await new Promise(setImmediate);
    order.push('settled');
    run.settle(loaded('a'));
    await waiting;
    assert.deepEqual(order, ['settled', 'room']);
    holdPart(run, 'c', true);
    const halted = run.room(never);
    run.stop('failed');
    await halted;
  });

  test('is gone on with when the run is cut or canceled, and left when it has failed or its breaker is open', () => {
    const halts = (['cut', 'canceled', 'failed', 'breaker_open'] as const).map((reason) => {
      const run = newRun();
      run.stop('cut');
      run.stop(reason);
      return run.halt.aborted;
    });
    assert.deepEqual(halts, [false, false, true, true]);
  });
});

describe('a run that is stopped', () => {
  test('receives no more, and remembers the first reason', () => {
    const run = newRun();
    assert.equal(run.intake.aborted, false);
    run.stop('canceled');
    run.stop('failed');
    assert.equal(run.intake.aborted, true);
    assert.equal(run.report(STARTED_AT).state, 'canceled');
  });

  test('a planned end is no fault, and gives way to any fault', () => {
    const run = newRun();
    run.stop('cut');
    assert.equal(run.report(STARTED_AT).state, 'succeeded');
    run.stop('breaker_open');
    assert.equal(run.report(STARTED_AT).state, 'breaker_open');
  });

  test('its planned end comes with the record that reaches the limit', () => {
    const run = newRun({ maxRecords: 5 });
    hold(run, 'a', 4);
    assert.equal(run.intake.aborted, false);
    hold(run, 'b', 1);
    assert.equal(run.intake.aborted, true);
    run.settle(committed('a', { received: 4, loaded: 4 }));
    run.settle(committed('b', { received: 1, loaded: 1 }));
    run.drained();
    assert.equal(run.report(STARTED_AT).state, 'succeeded');
  });
});

describe('the breaker', () => {
  const limits = { maxRejectedRatio: 0.5, minMessages: 10, maxRejected: null };

  test('trips above the ratio, not at it', () => {
    const run = newRun({ breaker: limits });
    hold(run, 'a', 10);
    run.settle(committed('a', { received: 10, loaded: 5, quarantined: 5 }));
    assert.equal(run.intake.aborted, false);
    hold(run, 'b', 1);
    run.settle(committed('b', { received: 1, quarantined: 1 }));
    assert.equal(run.intake.aborted, true);
    run.drained();
    assert.equal(run.report(STARTED_AT).state, 'breaker_open');
  });

  test('says nothing before there are enough records', () => {
    const run = newRun({ breaker: limits });
    hold(run, 'a', 9);
    run.settle(committed('a', { received: 9, quarantined: 9 }));
    assert.equal(run.intake.aborted, false);
  });

  test('trips above an absolute number however many records there are', () => {
    const run = newRun({ breaker: { ...limits, maxRejected: 2 } });
    hold(run, 'a', 3);
    run.settle(committed('a', { received: 3, loaded: 1, quarantined: 2 }));
    assert.equal(run.intake.aborted, false);
    hold(run, 'b', 1);
    run.settle(committed('b', { received: 1, quarantined: 1 }));
    assert.equal(run.intake.aborted, true);
  });

  test('of zero trips at the first rejection', () => {
    const run = newRun({ breaker: { ...limits, maxRejected: 0 } });
    hold(run, 'a', 2);
    run.settle(committed('a', { received: 2, loaded: 1, quarantined: 1 }));
    assert.equal(run.intake.aborted, true);
  });
});
