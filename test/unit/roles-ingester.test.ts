import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Delivery } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import type { PipelineConfig } from '../../src/config/config.js';
import { EventBus } from '../../src/ops/events.js';
import { MemoryQueue } from '../../src/queue/memory.js';
import { type IngesterParts, ingest } from '../../src/roles/ingester.js';
import { AS_IT_IS } from '../support/opening.js';

const never = new AbortController().signal;

const PIPELINE: PipelineConfig = {
  name: 'logins',
  schedule: null,
  source: {
    sqs: {
      queues: [{ queue: 'q', region: 'us-east-1', endpoint: null, receivers: 1, transport: 'lean' }],
      waitTimeS: 1,
      visibilityTimeoutS: 30,
    },
    s3: null,
    opening: AS_IT_IS,
  },
  route: null,
  batch: { maxMessages: 1, maxBytes: 1_000, lingerMs: 1 },
  concurrency: { transform: null, load: null },
  limits: {
    residenceMs: 900_000,
    inFlight: 100,
    inFlightBytes: 1_000_000,
    breaker: { maxRejectedRatio: 0.5, minMessages: 1, maxRejected: null },
  },
  policy: {
    pipeline: 'logins',
    columns: [],
    maxDepth: 32,
    maxBody: 1_000,
    onUnknownField: 'drop',
    onReject: 'quarantine',
    sha256: '',
  },
  fifo: 'skip',
  leakGate: false,
  target: { schema: 'public', table: 'logins', create: false, upsert: null, partition: null, grants: [] },
  further: [],
};

function delivery(): Delivery {
  const head = { messageId: 'm', sentAt: 1, receivedAt: 1 };
  return {
    envelope: { ...head, body: '{}', attributes: {} },
    records: [{ id: 'm', body: '{}' }],
    receipt: { messageId: 'm', handle: 'h', receiveCount: 1, receivedAt: 1, bytes: 2 },
  };
}

/** One run of one message that ends up in quarantine or in the table; returns why breakers were opened. */
async function runOf(
  outcome: 'loaded' | 'quarantined',
  watch: IngesterParts['intake']['watch'] = () => Promise.resolve(),
) {
  const reasons: string[] = [];
  const nothing = (): Promise<void> => Promise.resolve();
  const clock = systemClock;
  const parts: IngesterParts = {
    pipeline: PIPELINE,
    source: {
      receive: async function* receive() {
        yield [delivery()];
      },
      ack: nothing,
      release: nothing,
      depth: () => Promise.resolve({ visible: 0, inFlight: 0, delayed: 0 }),
      stop: nothing,
    },
    intake: { watch },
    transformQueue: new MemoryQueue({ clock }),
    loadQueue: new MemoryQueue({ clock }),
    sink: {
      fates: async (ids) => {
        const counts = { received: 1, loaded: 0, duplicates: 0, quarantined: 0, released: 0, [outcome]: 1 };
        return ids.map((batchId) => ({ batchId, state: 'committed', held: [], ...counts }));
      },
      letGo: () => Promise.resolve([]),
    },
    runs: { open: nothing, heartbeat: nothing, close: nothing, abandonStale: () => Promise.resolve(0) },
    schedules: {
      breaker: () => Promise.resolve({ pipeline: 'logins', state: 'closed', since: 0, reason: null }),
      openBreaker: async (_, reason) => void reasons.push(reason),
      succeeded: nothing,
    },
    lease: null,
    prepareLedger: nothing,
    clock,
    events: new EventBus(),
    onWait: () => undefined,
    owner: 'test',
    tracing: null,
  };
  const { state } = await ingest(
    parts,
    { trigger: 'drain', mode: 'until_empty' },
    { soft: never, hard: never },
  );
  return { state, reasons };
}

describe('the breaker', () => {
  test('is opened by the run that quarantined too many', async () => {
    const { state, reasons } = await runOf('quarantined');
    assert.equal(state, 'breaker_open');
    assert.match(reasons.join('; '), /^run \S+ quarantined 1 of 1 records$/);
  });

  test('is not opened again by a run that another one has stopped, when somebody may have closed it', async () => {
    const { state, reasons } = await runOf('loaded', async (run) => run.stop('breaker_open'));
    assert.equal(state, 'breaker_open');
    assert.deepEqual(reasons, []);
  });
});
