import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Batch, BatchReport, Fate, MaskedBatch } from '../../src/batch.js';
import { type ErrorCode, PipelineError } from '../../src/errors.js';
import type { HeldBatch } from '../../src/load/sink.js';
import { asMasked } from '../../src/masking/masked.js';
import { drain, load, settle, transform } from '../../src/pipeline.js';
import { MemoryQueue } from '../../src/queue/memory.js';
import type { JobState } from '../../src/queue/queue.js';
import { type BreakerLimits, Run } from '../../src/run.js';
import { type SqsSource, createSource } from '../../src/source/sqs-source.js';
import { FakeSqs } from '../simulation/fake-sqs.js';
import { VirtualClock } from '../simulation/virtual-clock.js';
import { AS_IT_IS } from '../support/opening.js';

const never = new AbortController().signal;
const VISIBILITY_S = 30;

function fault(code: ErrorCode): PipelineError {
  return new PipelineError(code, `made up: ${code}`);
}

/** The fate table and nothing else; `errors` are thrown first, one a call. */
class Fates {
  readonly rows = new Map<string, Fate>();
  readonly errors: Error[] = [];
  readonly released: string[] = [];

  decide(batch: Batch, fate: Partial<Fate> = {}): void {
    const { batchId, records } = batch;
    const none = { duplicates: 0, quarantined: 0, released: 0 };
    const all = { received: records.length, loaded: records.length };
    this.rows.set(batchId, { batchId, state: 'committed', held: [], ...all, ...none, ...fate });
  }

  async fates(batchIds: readonly string[]): Promise<readonly Fate[]> {
    this.#fail();
    return batchIds.flatMap((id) => this.rows.get(id) ?? []);
  }

  async letGo(batches: readonly HeldBatch[]): Promise<readonly Fate[]> {
    this.#fail();
    for (const { batchId, records } of batches) {
      if (this.rows.has(batchId)) continue;
      const none = { loaded: 0, duplicates: 0, quarantined: 0 };
      this.released.push(batchId);
      this.rows.set(batchId, {
        batchId,
        state: 'released',
        held: [],
        received: records,
        released: records,
        ...none,
      });
    }
    return batches.flatMap(({ batchId }) => this.rows.get(batchId) ?? []);
  }

  #fail(): void {
    const error = this.errors.shift();
    if (error) throw error;
  }
}

/** A real source on a queue of `count` messages, and everything else that an ingester needs. */
class Bench {
  readonly clock = new VirtualClock();
  readonly sqs: FakeSqs;
  readonly ids: readonly string[];
  readonly source: SqsSource;
  readonly sink = new Fates();
  readonly added: Batch[] = [];
  readonly waits: unknown[] = [];
  readonly states = new Map<string, JobState>();
  readonly hard = new AbortController();
  readonly run: Run;
  /** What adding a batch does besides noting it. */
  onAdd: (batch: Batch) => Promise<void> | void = () => undefined;
  onStates: () => void = () => undefined;

  constructor(count: number, breaker?: BreakerLimits) {
    const { clock } = this;
    this.sqs = new FakeSqs({ clock });
    this.ids = this.sqs.send(...Array.from({ length: count }, (_, n) => ({ body: `{"n":${n}}` })));
    this.source = createSource({
      client: this.sqs,
      clock,
      opening: AS_IT_IS,
      receivers: 1,
      waitTimeS: 1,
      visibilityTimeoutS: VISIBILITY_S,
      inFlight: 1_000,
      inFlightBytes: 1 << 20,
    });
    const started = { runId: 'run', pipeline: 'logins', trigger: 'drain', startedAt: clock.now() } as const;
    this.run = new Run({ ...started, ...(breaker === undefined ? {} : { breaker }) });
  }

  get ports() {
    const states = async (ids: readonly string[]): Promise<readonly JobState[]> => {
      this.onStates();
      return ids.map((id) => this.states.get(id) ?? 'absent');
    };
    const transformQueue = new MemoryQueue<Batch>({ clock: this.clock });
    transformQueue.add = async (batch) => {
      await this.onAdd(batch);
      this.added.push(batch);
      this.states.set(batch.batchId, 'live');
    };
    transformQueue.states = states;
    const { source, sink, clock } = this;
    const onWait = (error: unknown): void => void this.waits.push(error);
    const loadQueue = { states: async (ids: readonly string[]) => ids.map(() => 'absent' as const) };
    return { source, sink, clock, onWait, transformQueue, loadQueue };
  }

  /** The two halves of an ingester, at work; batches hold up to `maxMessages`. */
  start(maxMessages: number, options: { readonly residenceMs?: number } = {}) {
    const { run, clock, ports, hard } = this;
    const batching = {
      maxMessages,
      maxBytes: 1 << 20,
      lingerMs: 500,
      runId: 'run',
      pipeline: 'logins',
      clock,
    };
    const drained = drain(ports, run, { mode: 'until_empty', batching }, hard.signal);
    const settled = settle(ports, run, { residenceMs: options.residenceMs ?? 900_000 }, hard.signal);
    drained.catch(() => undefined);
    settled.catch(() => undefined);
    return { drained, settled };
  }
}

describe('drain', () => {
  test('holds the receipts of a batch before it adds the batch anywhere', async () => {
    const bench = new Bench(5);
    const heldWhenAdded: (readonly string[])[] = [];
    bench.onAdd = (batch) => {
      const held = bench.run.held.find(({ batchId }) => batchId === batch.batchId);
      heldWhenAdded.push(held?.receipts.map((receipt) => receipt.messageId) ?? []);
    };
    await bench.clock.finish(bench.start(2).drained);
    assert.deepEqual(heldWhenAdded.flat(), bench.ids);
    assert.deepEqual(
      bench.added.map((batch) => batch.messages.length),
      [2, 2, 1],
    );
  });

  test('waits out an outage of the queue, and adds every batch then', async () => {
    const bench = new Bench(4);
    let failures = 30;
    bench.onAdd = () => {
      failures -= 1;
      if (failures > 0) throw fault('redis_unavailable');
    };
    await bench.clock.finish(bench.start(2).drained);
    assert.equal(bench.added.length, 2);
    assert.equal(bench.waits.length, 29);
  });

  test('a batch that cannot be added ends the run: the rest is held, and all of it let go', async () => {
    // GIVEN a queue that refuses the second of four batches, which one receive brought
    const bench = new Bench(8);
    let calls = 0;
    bench.onAdd = (batch) => {
      calls += 1;
      if (calls === 2) throw fault('queue_unfit');
      bench.sink.decide(batch);
    };
    const { drained, settled } = bench.start(2);
    await assert.rejects(bench.clock.finish(drained), { code: 'queue_unfit' });
    // THEN nothing more was added, and everything is held
    assert.equal(calls, 2);
    // AND the first batch is acked, the others come back to the queue
    await bench.clock.finish(settled);
    assert.deepEqual(bench.sqs.left, bench.ids.slice(2));
    const { state, received, loaded, released } = bench.run.report(bench.clock.now());
    assert.deepEqual(
      { state, received, loaded, released },
      { state: 'failed', received: 8, loaded: 2, released: 6 },
    );
    assert.equal(bench.source.holding.messages, 0);
  });

  test('what a source that fails for good had brought before is still settled', async () => {
    const bench = new Bench(2);
    bench.onAdd = (batch) => bench.sink.decide(batch);
    bench.sqs.faults.before = (call) =>
      call === 'receive' && bench.sqs.calls.receive > 1 ? fault('source_unfit') : null;
    const { drained, settled } = bench.start(10);
    await assert.rejects(bench.clock.finish(drained), { code: 'source_unfit' });
    await bench.clock.finish(settled);
    assert.deepEqual(bench.sqs.left, []);
  });
});

describe('settle', () => {
  test('no message is deleted before its batch has a fate, however long that takes', async () => {
    const bench = new Bench(3);
    const { settled } = bench.start(10);
    // Visibility runs out several times over: the heartbeat keeps the messages.
    await bench.clock.advance(10 * VISIBILITY_S * 1_000);
    assert.equal(bench.sqs.calls.delete, 0);
    assert.deepEqual(bench.sqs.handedOut, bench.ids);
    for (const batch of bench.added) bench.sink.decide(batch);
    await bench.clock.finish(settled);
    assert.deepEqual(bench.sqs.left, []);
    assert.equal(bench.run.report(bench.clock.now()).state, 'succeeded');
  });

  test('held messages of a committed batch are released with a delay, the rest is acked', async () => {
    const bench = new Bench(4);
    const [, second, , fourth] = bench.ids;
    bench.onAdd = (batch) => bench.sink.decide(batch, { loaded: 2, released: 2, held: [1, 3] });
    await bench.clock.finish(bench.start(10).settled);
    assert.deepEqual(bench.sqs.left, [second, fourth]);
    assert.deepEqual(bench.sqs.visible, []);
    await bench.clock.advance(29_000);
    assert.deepEqual(bench.sqs.visible, []);
    await bench.clock.advance(2_000);
    assert.deepEqual(bench.sqs.visible, [second, fourth]);
  });

  test('a hard stop lets go of everything, and its messages are visible at once', async () => {
    const bench = new Bench(5);
    const { drained, settled } = bench.start(2);
    await bench.clock.finish(drained);
    bench.hard.abort();
    bench.run.stop('canceled');
    const stoppedAt = bench.clock.now();
    await bench.clock.finish(settled);
    assert.deepEqual(bench.sqs.visible, bench.ids);
    assert.equal(bench.sink.released.length, 3);
    assert.ok(bench.clock.now() - stoppedAt < 1_000, 'it waits for nothing');
    const { state, released } = bench.run.report(bench.clock.now());
    assert.deepEqual({ state, released }, { state: 'canceled', released: 5 });
  });

  test('a hard stop acks what was committed meanwhile', async () => {
    const bench = new Bench(4);
    const { drained, settled } = bench.start(2);
    await bench.clock.finish(drained);
    // Between the last look and the stop: only the sink knows.
    const [first] = bench.added;
    assert.ok(first);
    bench.sink.decide(first);
    bench.hard.abort();
    await bench.clock.finish(settled);
    assert.deepEqual(bench.sqs.left, bench.ids.slice(2));
    assert.deepEqual(bench.sqs.visible, bench.ids.slice(2));
  });

  test('a hard stop does not wait for a sink that is away', async () => {
    const bench = new Bench(2);
    const { drained, settled } = bench.start(2);
    await bench.clock.finish(drained);
    for (let call = 0; call < 999; call += 1) bench.sink.errors.push(fault('postgres_unavailable'));
    bench.hard.abort();
    await assert.rejects(bench.clock.finish(settled, 1_000), { code: 'postgres_unavailable' });
    assert.equal(bench.run.finished, false);
  });

  test('the breaker ends receiving, and what is held is finished', async () => {
    const bench = new Bench(4, { maxRejectedRatio: 0.5, minMessages: 2, maxRejected: null });
    bench.onAdd = (batch) => bench.sink.decide(batch, { loaded: 0, quarantined: 2 });
    const { drained, settled } = bench.start(2);
    await bench.clock.finish(settled);
    await bench.clock.finish(drained);
    assert.equal(bench.run.intake.aborted, true);
    assert.deepEqual(bench.sqs.left, []);
    const { state, received, quarantined } = bench.run.report(bench.clock.now());
    assert.deepEqual(
      { state, received, quarantined },
      { state: 'breaker_open', received: 4, quarantined: 4 },
    );
  });

  test('survives outages of the sink and of the queues, and says so', async () => {
    const bench = new Bench(2);
    const { drained, settled } = bench.start(2);
    await bench.clock.finish(drained);
    for (let call = 0; call < 20; call += 1) bench.sink.errors.push(fault('postgres_unavailable'));
    let refusals = 3;
    bench.onStates = () => {
      refusals -= 1;
      if (refusals >= 0) throw fault('redis_unavailable');
    };
    await bench.clock.advance(300_000);
    assert.equal(bench.waits.length, 23);
    for (const batch of bench.added) bench.sink.decide(batch);
    await bench.clock.finish(settled);
    assert.deepEqual(bench.sqs.left, []);
  });

  test('goes on after an error that nobody understands: left alone, the messages would stay hidden for hours', async () => {
    const bench = new Bench(2);
    const { drained, settled } = bench.start(2);
    await bench.clock.finish(drained);
    bench.sink.errors.push(new TypeError('surprise'), fault('unexpected'));
    await bench.clock.advance(10_000);
    for (const batch of bench.added) bench.sink.decide(batch);
    await bench.clock.finish(settled);
    assert.deepEqual(bench.sqs.left, []);
    assert.equal(bench.run.report(bench.clock.now()).state, 'succeeded');
  });

  test('what only somebody can mend ends the whole run: a drain that waits for room ends too', async () => {
    const bench = new Bench(2);
    bench.onAdd = () => {
      bench.sink.errors.push(fault('permission_denied'));
    };
    const { drained, settled } = bench.start(2);
    await assert.rejects(bench.clock.finish(settled), { code: 'permission_denied' });
    assert.equal(bench.run.intake.aborted, true);
    await bench.clock.finish(drained);
    assert.equal(bench.run.report(bench.clock.now()).state, 'failed');
  });
});

describe('a batch whose fate does not come', () => {
  test('is let go soon after its job has failed for good', async () => {
    const bench = new Bench(2);
    const { drained, settled } = bench.start(2);
    await bench.clock.finish(drained);
    const at = bench.clock.now();
    for (const { batchId } of bench.added) bench.states.set(batchId, 'failed');
    await bench.clock.finish(settled);
    assert.ok(bench.clock.now() - at <= 6_000);
    assert.equal(bench.sink.released.length, 1);
    assert.deepEqual(bench.sqs.left, bench.ids);
    assert.equal(bench.run.report(bench.clock.now()).state, 'failed');
  });

  test('is let go half a minute after both queues have forgotten it, not before', async () => {
    const bench = new Bench(2);
    const { settled } = bench.start(2);
    await bench.clock.settle();
    const at = bench.clock.now();
    bench.states.clear();
    await bench.clock.finish(settled);
    const afterMs = bench.clock.now() - at;
    assert.ok(afterMs > 30_000 && afterMs <= 36_000, `after ${afterMs} ms`);
  });

  test('is let go when it is overdue, though a queue calls it live', async () => {
    const bench = new Bench(2);
    const at = bench.clock.now();
    await bench.clock.finish(bench.start(2, { residenceMs: 60_000 }).settled);
    const afterMs = bench.clock.now() - at;
    assert.ok(afterMs > 60_000 && afterMs <= 61_000, `after ${afterMs} ms`);
    assert.equal(bench.sink.released.length, 1);
  });

  test('is acked all the same when it turns out to be committed as it is let go', async () => {
    const bench = new Bench(2);
    const { drained, settled } = bench.start(2, { residenceMs: 60_000 });
    await bench.clock.finish(drained);
    const { letGo } = bench.sink;
    bench.sink.letGo = (batches) => {
      for (const batch of bench.added) bench.sink.decide(batch);
      return letGo.call(bench.sink, batches);
    };
    await bench.clock.finish(settled);
    assert.deepEqual(bench.sqs.left, []);
    assert.equal(bench.run.report(bench.clock.now()).state, 'succeeded');
  });
});

function maskedOf(batch: Batch): MaskedBatch {
  const { batchId, runId, pipeline } = batch;
  return {
    batchId,
    runId,
    pipeline,
    messages: batch.messages.length,
    receivedAt: 0,
    policySha256: '',
    kids: [],
    columns: [],
    keys: [],
    rows: asMasked(Buffer.alloc(0)),
    rejections: [],
  };
}

const batch: Batch = { batchId: 'batch', runId: 'run', pipeline: 'logins', messages: [], records: [] };
const counts = {
  rows: 0,
  rejected: 0,
  masked: {},
  normalized: { trimmed: 0, empty_to_null: 0, sentinel_to_null: 0 },
  fieldsDropped: 0,
};

describe('transform', () => {
  test('hands on what the masker made of the batch, once the queue takes it', async () => {
    const clock = new VirtualClock();
    const waits: unknown[] = [];
    const added: MaskedBatch[] = [];
    let failures = 5;
    const loadQueue = {
      add: async (masked: MaskedBatch): Promise<void> => {
        failures -= 1;
        if (failures >= 0) throw fault('redis_unavailable');
        added.push(masked);
      },
    };
    const masker = { mask: (input: Batch) => ({ masked: maskedOf(input), counts }) };
    const ports = { clock, masker, loadQueue, onWait: (error: unknown) => void waits.push(error) };
    assert.equal(await clock.finish(transform(ports, batch, never)), counts);
    assert.deepEqual(
      added.map(({ batchId }) => batchId),
      ['batch'],
    );
    assert.equal(waits.length, 5);
  });

  test('a missing key throws, and nothing is handed on', async () => {
    const clock = new VirtualClock();
    const added: MaskedBatch[] = [];
    const masker = {
      mask: (): never => {
        throw fault('key_unavailable');
      },
    };
    const loadQueue = { add: async (masked: MaskedBatch) => void added.push(masked) };
    const ports = { clock, masker, loadQueue, onWait: () => undefined };
    await assert.rejects(transform(ports, batch, never), { code: 'key_unavailable' });
    assert.deepEqual(added, []);
  });
});

describe('load', () => {
  const report: BatchReport = {
    ...{ batchId: 'batch', runId: 'run', pipeline: 'logins' },
    ...{ received: 1, loaded: 1, duplicates: 0, quarantined: 0, released: 0 },
    ...{ bytes: 1, copies: 1, ms: { ledger: 1, copy: 1, total: 2 }, codes: {} },
  };

  function loading(outcomes: (BatchReport | Error | null)[], hardStop = never) {
    const clock = new VirtualClock();
    const waits: unknown[] = [];
    const sink = {
      commit: async (): Promise<BatchReport | null> => {
        const outcome = outcomes.shift();
        if (outcome instanceof Error) throw outcome;
        return outcome ?? null;
      },
    };
    const ports = { clock, sink, onWait: (error: unknown) => void waits.push(error) };
    return { result: clock.finish(load(ports, maskedOf(batch), hardStop)), waits };
  }

  test('waits out an outage, and returns the report of the batch', async () => {
    const { result, waits } = loading([fault('postgres_unavailable'), fault('postgres_unavailable'), report]);
    assert.equal(await result, report);
    assert.equal(waits.length, 2);
  });

  test('a batch whose fate was decided before needs nothing more', async () => {
    assert.equal(await loading([null]).result, null);
  });

  test('leaves everything but outages to the queue and its attempts', async () => {
    for (const code of ['contention', 'table_unfit', 'row_count_differs', 'unexpected'] as const)
      await assert.rejects(loading([fault(code), report]).result, { code });
  });

  test('gives an outage back to the queue when the worker is stopped hard', async () => {
    const { result } = loading([fault('postgres_unavailable'), report], AbortSignal.abort());
    await assert.rejects(result, { code: 'postgres_unavailable' });
  });
});
