import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { SpanKind, SpanStatusCode, context, propagation, trace } from '@opentelemetry/api';
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-node';
import type { Batch, MaskedBatch, Receipt } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import { PipelineError } from '../../src/errors.js';
import { EventBus } from '../../src/ops/events.js';
import type { IngestPorts } from '../../src/pipeline.js';
import { fromTraceHeader, fromTraceparent, originsOf } from '../../src/roles/trace-context.js';
import { Tracing } from '../../src/roles/tracing.js';
import { rawMessage } from '../../src/source/sqs-answers.js';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
/** The example of W3C Trace Context, section 3.2. */
const TRACEPARENT = `00-${TRACE}-${SPAN}-01`;
/** The example of the AWS X-Ray Developer Guide, "Tracing header". */
const XRAY = 'Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1';

describe('the context of a message', () => {
  test('is read from traceparent and from AWSTraceHeader, as their specifications have it', () => {
    assert.deepEqual(fromTraceparent(TRACEPARENT), {
      traceId: TRACE,
      spanId: SPAN,
      traceFlags: 1,
      isRemote: true,
    });
    assert.deepEqual(fromTraceHeader(XRAY), {
      traceId: '5759e988bd862e3fe1be46a994272793',
      spanId: '53995c3f42cd8ad8',
      traceFlags: 1,
      isRemote: true,
    });
    assert.equal(fromTraceHeader(XRAY.replace('Sampled=1', 'Sampled=0'))?.traceFlags, 0);
    assert.equal(fromTraceparent(`cc-${TRACE}-${SPAN}-01-what-the-future-brings`)?.traceId, TRACE);
  });

  test('is none where it is malformed, and whatever else stands there goes nowhere', () => {
    const malformed = [
      '',
      'alice@example.com',
      TRACEPARENT.toUpperCase(),
      `ff-${TRACE}-${SPAN}-01`,
      `00-${'0'.repeat(32)}-${SPAN}-01`,
      `00-${TRACE}-${'0'.repeat(16)}-01`,
      `${TRACEPARENT} alice`,
    ];
    for (const text of malformed) assert.equal(fromTraceparent(text), null, text);
    for (const text of [
      '',
      'Root=1-5759e988-bd862e3fe1be46a994272793',
      'Parent=53995c3f42cd8ad8',
      'Self=alice',
    ])
      assert.equal(fromTraceHeader(text), null, text);
  });

  test('comes with the message, also as the system attribute that SQS has for it', () => {
    const message = rawMessage({
      MessageId: 'm',
      ReceiptHandle: 'r',
      Body: '{}',
      Attributes: { SentTimestamp: '1', ApproximateReceiveCount: '1', AWSTraceHeader: XRAY },
    });
    assert.equal(originsOf([message]).parent?.spanId, '53995c3f42cd8ad8');
  });

  test('of one trace is gone on with, of several the batch is linked to each, up to 32', () => {
    const of = (...texts: readonly string[]) =>
      originsOf(texts.map((traceparent) => ({ attributes: { traceparent } })));
    assert.deepEqual(of('none'), { parent: null, links: [] });
    const sibling = TRACEPARENT.replace(SPAN, 'b7ad6b7169203331');
    const same = of(TRACEPARENT, sibling, TRACEPARENT);
    assert.deepEqual(
      [same.parent?.spanId, same.links.map(({ spanId }) => spanId)],
      [SPAN, ['b7ad6b7169203331']],
    );
    const many = of(
      ...Array.from({ length: 100 }, (_, i) => TRACEPARENT.replace(/^00-..../, `00-${1000 + i}`)),
    );
    assert.deepEqual([many.parent, many.links.length], [null, 32]);
  });
});

const batch = (id: string, attributes: Readonly<{ [name: string]: string }> = {}): Batch => ({
  batchId: id,
  runId: 'run',
  pipeline: 'logins',
  messages: [{ messageId: 'm', sentAt: 1, receivedAt: Date.now(), attributes }],
  records: [{ id: 'm', message: 0, body: 'alice@example.com' }],
});

/** Ports that note the batches added; their batches are committed at the first look. */
function fakePorts(): { readonly ports: IngestPorts; readonly added: Batch[] } {
  const added: Batch[] = [];
  const none = { received: 0, loaded: 0, duplicates: 0, quarantined: 0, released: 0 };
  const nothing = (): Promise<void> => Promise.resolve();
  const ports: IngestPorts = {
    clock: systemClock,
    onWait: () => undefined,
    source: {
      receive: () => {
        throw new Error('nothing is received here');
      },
      ack: nothing,
      release: nothing,
      depth: () => Promise.resolve({ visible: 0, inFlight: 0, delayed: 0 }),
    },
    transformQueue: {
      add: (one) => {
        added.push(one);
        return nothing();
      },
      states: () => Promise.resolve([]),
    },
    loadQueue: { states: () => Promise.resolve([]) },
    sink: {
      fates: (ids) =>
        Promise.resolve(ids.map((batchId) => ({ ...none, batchId, state: 'committed', held: [] }))),
      letGo: () => Promise.resolve([]),
    },
  };
  return { ports, added };
}

const RECEIPT: Receipt = { messageId: 'm', handle: 'h', receiveCount: 1, receivedAt: 1, bytes: 2 };

test('without an SDK there is no tracing, and the ports are as they are', () => {
  assert.equal(Tracing.open(systemClock, new EventBus()), null);
});

describe('with an SDK', () => {
  const exporter = new InMemorySpanExporter();
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  const events = new EventBus();
  let tracing: Tracing;
  before(() => {
    provider.register();
    const opened = Tracing.open(systemClock, events);
    assert.ok(opened);
    tracing = opened;
  });
  afterEach(() => exporter.reset());
  after(async () => {
    await provider.shutdown();
    trace.disable();
    context.disable();
    propagation.disable();
  });
  const named = (name: string): ReadableSpan => {
    const found = exporter.getFinishedSpans().find((span) => span.name === name);
    assert.ok(found, `there is no span ${name}`);
    return found;
  };

  test('one trace leads from the message through all stages to its delete, with counts and no value', async () => {
    // GIVEN an ingester, a transform and a load worker, which share nothing but what the queues carry
    const { ports, added } = fakePorts();
    const ingest = tracing.ingest('logins', ports);
    await ingest.transformQueue.add(batch('b1', { traceparent: TRACEPARENT, note: 'alice@example.com' }));
    const [toTransform] = added;
    assert.ok(toTransform);
    const handed: MaskedBatch[] = [];
    const loadQueue = tracing.handingOn({
      add: (masked) => {
        handed.push(masked);
        return Promise.resolve();
      },
    });
    const masked = { batchId: 'b1', runId: 'run', pipeline: 'logins' } as MaskedBatch;
    const { signal } = new AbortController();
    await tracing.handler<Batch>('transform', 'logins', () => loadQueue.add(masked))(toTransform, signal);
    const [toLoad] = handed;
    assert.ok(toLoad);
    const load = tracing.handler<MaskedBatch>('load', 'logins', async ({ batchId }) => {
      for (const step of ['begun', 'ledger', 'copied', 'decided', 'committed'] as const)
        tracing.step(step, batchId);
      const counts = { received: 1, loaded: 1, duplicates: 0, quarantined: 0, released: 0 };
      const report = { ...counts, batchId, runId: 'run', pipeline: 'logins', bytes: 9, copies: 1, codes: {} };
      events.emit('batch_loaded', { ...report, ms: { ledger: 1, copy: 1, total: 2 }, table: 't', lagMs: 5 });
    });
    await load(toLoad, signal);
    await ingest.sink.fates(['b1']);
    await ingest.source.ack([RECEIPT]);

    // THEN each span is the child of the one before
    const spans = exporter.getFinishedSpans();
    assert.ok(spans.every((span) => span.spanContext().traceId === TRACE));
    const parents = {
      'ingest logins': SPAN,
      'transform logins': named('ingest logins').spanContext().spanId,
      'load logins': named('transform logins').spanContext().spanId,
      ledger: named('load logins').spanContext().spanId,
      COPY: named('load logins').spanContext().spanId,
      fate: named('load logins').spanContext().spanId,
      COMMIT: named('load logins').spanContext().spanId,
      'delete logins': named('ingest logins').spanContext().spanId,
    };
    for (const [name, parent] of Object.entries(parents))
      assert.equal(named(name).parentSpanContext?.spanId, parent, name);
    assert.equal(spans.length, Object.keys(parents).length);
    assert.equal(named('ingest logins').kind, SpanKind.CONSUMER);
    assert.equal(named('load logins').attributes['maskline.loaded'], 1);
    assert.equal(named('delete logins').attributes['messaging.batch.message_count'], 1);
    const said = JSON.stringify(
      spans.map(({ name, attributes, status, links }) => ({ name, attributes, status, links })),
    );
    assert.doesNotMatch(said, /alice/);
  });

  test('a delete of several batches is linked to each of them', async () => {
    const { ports } = fakePorts();
    const ingest = tracing.ingest('logins', ports);
    await ingest.transformQueue.add(batch('b1'));
    await ingest.transformQueue.add(batch('b2'));
    await ingest.sink.fates(['b1', 'b2']);
    await ingest.source.ack([]);
    await ingest.source.ack([RECEIPT, RECEIPT]);
    assert.equal(named('delete logins').links.length, 2);
    assert.equal(named('delete logins').parentSpanContext, undefined);
  });

  test('a failed attempt tells its code, and not the text of its error', async () => {
    const failing = tracing.handler<Batch>('transform', 'logins', () =>
      Promise.reject(new PipelineError('table_unfit', 'alice@example.com')),
    );
    await assert.rejects(failing(batch('b1'), new AbortController().signal));
    const { status, attributes, events: noted } = named('transform logins');
    assert.deepEqual(status, { code: SpanStatusCode.ERROR, message: 'table_unfit' });
    assert.equal(attributes['error.type'], 'table_unfit');
    assert.deepEqual(noted, []);
  });

  test('what is instrumented within a stage finds its span', async () => {
    let within: string | undefined;
    const handler = tracing.handler<Batch>('transform', 'logins', () => {
      within = trace.getActiveSpan()?.spanContext().spanId;
      return Promise.resolve();
    });
    await handler(batch('b1'), new AbortController().signal);
    assert.equal(within, named('transform logins').spanContext().spanId);
  });
});
