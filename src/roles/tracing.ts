// Spans around the calls of the flow, which itself knows nothing of them. They hold names, ids, counts and codes only.

import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  context,
  isSpanContextValid,
  trace,
} from '@opentelemetry/api';
import type { Batch, Fate, MaskedBatch, Receipt } from '../batch.js';
import type { Clock } from '../clock.js';
import { asPipelineError } from '../errors.js';
import type { CommitStep } from '../load/postgres.js';
import { attempt } from '../ops/attempt.js';
import type { EventBus, Stage } from '../ops/events.js';
import type { IngestPorts } from '../pipeline.js';
import type { BatchHandler, BatchQueue } from '../queue/queue.js';
import { packageVersion } from '../version.js';
import { fromTraceparent, originsOf, toTraceparent } from './trace-context.js';

const SCOPE = 'maskline';
/** An exporter that is away holds up no end for longer. */
const FLUSH_LIMIT_MS = 2_000;
/** Fates that become known at one look; more links tell nobody more. */
const MAX_LINKS = 32;

/** What a transaction does up to each step, as the names of spans. */
const STEP_NAMES: { readonly [step in Exclude<CommitStep, 'begun'>]: string } = {
  ledger: 'ledger',
  copied: 'COPY',
  decided: 'fate',
  committed: 'COMMIT',
};

interface Working {
  readonly span: Span;
  readonly within: Context;
  /** When its last step ended, in epoch ms. */
  stepAt: number;
}

/** Traces of a process's share in each batch, for whatever SDK of OpenTelemetry the user has registered. */
export class Tracing {
  readonly #tracer: Tracer;
  readonly #clock: Pick<Clock, 'now'>;
  /** What a stage is at work on here. */
  readonly #working: { readonly [stage in Stage]: Map<string, Working> } = {
    transform: new Map(),
    load: new Map(),
  };

  private constructor(tracer: Tracer, clock: Pick<Clock, 'now'>, events: Pick<EventBus, 'on'>) {
    this.#tracer = tracer;
    this.#clock = clock;
    events.on('batch_masked', ({ batchId, rows, rejected }) => {
      this.#working.transform.get(batchId)?.span.setAttributes({
        'maskline.rows': rows,
        'maskline.rejected': rejected,
      });
    });
    events.on('batch_loaded', ({ batchId, loaded, duplicates, quarantined, released }) => {
      this.#working.load.get(batchId)?.span.setAttributes({
        'maskline.loaded': loaded,
        'maskline.duplicates': duplicates,
        'maskline.quarantined': quarantined,
        'maskline.released': released,
      });
    });
  }

  /** Null where no SDK has been registered by now: then nothing is traced, and tracing costs nothing. */
  static open(clock: Pick<Clock, 'now'>, events: Pick<EventBus, 'on'>): Tracing | null {
    const tracer = trace.getTracer(SCOPE, packageVersion());
    return isRegistered(tracer) ? new Tracing(tracer, clock, events) : null;
  }

  /** The ports of one run: a span for each batch from its first receipt on, and for each delete of messages. */
  ingest(pipeline: string, ports: IngestPorts): IngestPorts {
    const { source, transformQueue, sink } = ports;
    const handedOn = new Map<string, SpanContext>();
    let settled: SpanContext[] = [];
    const noted = (fates: readonly Fate[]): readonly Fate[] => {
      for (const { batchId } of fates) {
        const from = handedOn.get(batchId);
        if (from !== undefined) settled.push(from);
        handedOn.delete(batchId);
      }
      return fates;
    };
    return {
      ...ports,
      transformQueue: {
        states: (ids) => transformQueue.states(ids),
        add: (batch) =>
          this.#formed(pipeline, batch, (span) => {
            handedOn.set(batch.batchId, span);
            return transformQueue.add({ ...batch, trace: toTraceparent(span) });
          }),
      },
      sink: {
        fates: async (ids) => noted(await sink.fates(ids)),
        letGo: async (batches) => noted(await sink.letGo(batches)),
      },
      source: {
        receive: (mode, signal, halt) => source.receive(mode, signal, halt),
        release: (receipts, delayMs) => source.release(receipts, delayMs),
        depth: () => source.depth(),
        ack: (receipts) => {
          if (receipts.length === 0) return source.ack(receipts);
          const of = settled;
          settled = [];
          return this.#deleted(pipeline, receipts, of, () => source.ack(receipts));
        },
      },
    };
  }

  /** A handler of a stage within a span of its own, which goes on from the one that made the batch. */
  handler<T extends Batch | MaskedBatch>(
    stage: Stage,
    pipeline: string,
    handle: BatchHandler<T>,
  ): BatchHandler<T> {
    return (batch, signal, takeover) => {
      const from = batch.trace === undefined ? null : fromTraceparent(batch.trace);
      const parent = from === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, from);
      const attributes = { ...attributesOf(pipeline, batch), 'messaging.operation.type': 'process' };
      const span = this.#tracer.startSpan(
        `${stage} ${pipeline}`,
        { kind: SpanKind.CONSUMER, attributes },
        parent,
      );
      const within = trace.setSpan(parent, span);
      const { batchId } = batch;
      this.#working[stage].set(batchId, { span, within, stepAt: this.#clock.now() });
      return ended(span, () => context.with(within, () => handle(batch, signal, takeover))).finally(() =>
        this.#working[stage].delete(batchId),
      );
    };
  }

  /** The load queue, as a transform worker adds to it: the batch goes on from the worker's span. */
  handingOn(queue: Pick<BatchQueue<MaskedBatch>, 'add'>): Pick<BatchQueue<MaskedBatch>, 'add'> {
    return {
      add: (masked) => {
        const working = this.#working.transform.get(masked.batchId);
        if (working === undefined) return queue.add(masked);
        return queue.add({ ...masked, trace: toTraceparent(working.span.spanContext()) });
      },
    };
  }

  /** What the transaction of a batch has done since its last step is a span: COPY among them. */
  step(step: CommitStep, batchId: string): void {
    const working = this.#working.load.get(batchId);
    if (working === undefined) return;
    const now = this.#clock.now();
    if (step !== 'begun') {
      const options = {
        kind: SpanKind.CLIENT,
        startTime: working.stepAt,
        attributes: { 'db.system.name': 'postgresql' },
      };
      this.#tracer.startSpan(STEP_NAMES[step], options, working.within).end(now);
    }
    working.stepAt = now;
  }

  /** Lets the SDK send what it holds, at the end of the process. Never rejects. */
  async flush(): Promise<void> {
    const provider = sdkProvider();
    const flush: unknown = Reflect.get(provider, 'forceFlush');
    if (typeof flush !== 'function') return;
    await attempt(async () => Reflect.apply(flush, provider, []) as unknown, FLUSH_LIMIT_MS);
  }

  #formed(pipeline: string, batch: Batch, add: (span: SpanContext) => Promise<void>): Promise<void> {
    const { parent, links } = originsOf(batch.messages);
    const span = this.#tracer.startSpan(
      `ingest ${pipeline}`,
      {
        kind: SpanKind.CONSUMER,
        startTime: Math.min(...batch.messages.map(({ receivedAt }) => receivedAt)),
        links: links.map((one) => ({ context: one })),
        attributes: {
          ...attributesOf(pipeline, batch),
          'messaging.operation.type': 'receive',
          'messaging.batch.message_count': batch.messages.length,
        },
      },
      parent === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent),
    );
    return ended(span, () => add(span.spanContext()));
  }

  /** Of one batch it goes on from that one's span; of several it is linked to each. */
  #deleted(
    pipeline: string,
    receipts: readonly Receipt[],
    of: readonly SpanContext[],
    ack: () => Promise<void>,
  ): Promise<void> {
    const [only] = of;
    const parent = only === undefined || of.length > 1 ? null : only;
    const span = this.#tracer.startSpan(
      `delete ${pipeline}`,
      {
        kind: SpanKind.CLIENT,
        links: parent === null ? of.slice(0, MAX_LINKS).map((one) => ({ context: one })) : [],
        attributes: {
          'messaging.system': 'aws_sqs',
          'messaging.operation.type': 'settle',
          'messaging.batch.message_count': receipts.length,
          'maskline.pipeline': pipeline,
        },
      },
      parent === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent),
    );
    return ended(span, ack);
  }
}

/** The API stands between with a provider of its own, which hands on what it can't do itself. */
function sdkProvider(): object {
  const provider: object = trace.getTracerProvider();
  const getDelegate: unknown = Reflect.get(provider, 'getDelegate');
  const delegate: unknown =
    typeof getDelegate === 'function' ? Reflect.apply(getDelegate, provider, []) : provider;
  return typeof delegate === 'object' && delegate !== null ? delegate : provider;
}

/** Spans of the API alone have no ids; those of an SDK do, sampled or not. */
function isRegistered(tracer: Tracer): boolean {
  const span = tracer.startSpan('probe', { root: true });
  return isSpanContextValid(span.spanContext());
}

function attributesOf(pipeline: string, { batchId, runId }: Batch | MaskedBatch): Attributes {
  return {
    'messaging.system': 'aws_sqs',
    'maskline.pipeline': pipeline,
    'maskline.run_id': runId,
    'maskline.batch_id': batchId,
  };
}

/** Ends the span with the work; of an error it tells the code, and never its text. */
async function ended<T>(span: Span, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code } = asPipelineError(error);
    span.setAttribute('error.type', code).setStatus({ code: SpanStatusCode.ERROR, message: code });
    throw error;
  } finally {
    span.end();
  }
}
