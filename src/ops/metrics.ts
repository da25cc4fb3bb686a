import { type Gauge, Registry, collectDefaultMetrics } from 'prom-client';
import { rejectionCodes } from '../batch.js';
import type { EventBus } from './events.js';
import { mergeExpositions } from './exposition.js';
import { countFaults, countRefusals } from './fault-metrics.js';
import { counter, gauge, histogram } from './instruments.js';
import { metricNames } from './metric-names.js';
import {
  type MetricSources,
  type ScheduleSample,
  ask,
  sampleBacklog,
  sampleQueues,
  sampleReveals,
} from './metric-sources.js';
import { sampleStatus } from './status-metrics.js';

/** Upper bounds in seconds: an empty drain takes about one, a large one an hour. */
const RUN_SECONDS = [0.5, 1, 2, 5, 15, 60, 300, 900, 3_600];
/** Upper bounds in seconds: a COPY of 1,000 rows takes some milliseconds; statements end within a minute. */
const COPY_SECONDS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60];
/** Upper bounds in records: the default batch is 1,000 messages. */
const BATCH_ROWS = [1, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];
/** Upper bounds in seconds: from one tick to the 14 days that SQS can hold a message. */
const LAG_SECONDS = [1, 2, 5, 10, 30, 60, 120, 300, 900, 3_600, 14_400, 86_400, 1_209_600];

/** What `/metrics` serves. */
export interface Metrics {
  readonly registry: Registry;
  readonly contentType: string;
  /** The text of one scrape. Never rejects. */
  render(): Promise<string>;
  /** Counts an answer of this process's HTTP server by its status, when it is a refusal. */
  readonly answered: (status: number) => void;
}

/** Counts what the events tell; `pipelines` start at zero, so that a rate is right from the first event on. */
export function createMetrics(options: {
  readonly events: EventBus;
  readonly version: string;
  readonly pipelines: readonly string[];
  readonly sources?: MetricSources;
}): Metrics {
  const { events, sources = {} } = options;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const buildInfo = gauge(registry, metricNames.buildInfo, 'The version that runs; always 1.', ['version']);
  buildInfo.set({ version: options.version }, 1);
  countMessages(registry, events, options.pipelines);
  countRows(registry, events, options.pipelines);
  timeLoads(registry, events);
  followRuns(registry, events, options.pipelines, sources.schedules);
  countFaults(registry, events, options.pipelines);
  const { status } = sources;
  if (status) sampleStatus(registry, () => ask(status));
  if (sources.queues) sampleQueues(registry, sources.queues);
  if (sources.backlog) sampleBacklog(registry, sources.backlog);
  if (sources.reveals) sampleReveals(registry, sources.reveals);
  return {
    registry,
    contentType: registry.contentType,
    answered: countRefusals(registry),
    render: async () => {
      const [own, bullmq] = await Promise.all([registry.metrics(), ask(sources.bullmq ?? noTexts)]);
      return bullmq.ok ? `${own}\n${mergeExpositions(bullmq.value)}` : own;
    },
  };
}

const noTexts = (): Promise<readonly string[]> => Promise.resolve([]);

function countMessages(registry: Registry, events: EventBus, pipelines: readonly string[]): void {
  const { messagesReceived, messagesDeleted, redeliveries } = metricNames;
  const received = counter(
    registry,
    messagesReceived,
    'Messages received from SQS, repeats included.',
    pipelines,
  );
  const deleted = counter(
    registry,
    messagesDeleted,
    'Messages deleted from SQS, after their commit.',
    pipelines,
  );
  const again = counter(
    registry,
    redeliveries,
    'Messages received that SQS had handed out before.',
    pipelines,
  );
  events.on('messages_received', ({ pipeline, messages }) => received.inc({ pipeline }, messages));
  events.on('messages_deleted', ({ pipeline, messages }) => deleted.inc({ pipeline }, messages));
  events.on('redelivery', ({ pipeline, messages }) => again.inc({ pipeline }, messages));
}

function countRows(registry: Registry, events: EventBus, pipelines: readonly string[]): void {
  const masked = counter(
    registry,
    metricNames.rowsMasked,
    'Rows masked, by method; a row with two columns of one counts twice.',
    [],
    ['method'],
  );
  const loaded = counter(registry, metricNames.rowsLoaded, 'Rows committed, by table.', [], ['table']);
  const duplicate = counter(registry, metricNames.rowsDuplicate, 'Records known already.', pipelines);
  const quarantined = counter(
    registry,
    metricNames.rowsQuarantined,
    'Records quarantined, by code.',
    [],
    ['code'],
  );
  const blocked = counter(
    registry,
    metricNames.groupsBlocked,
    'FIFO groups held, counted at each batch, by code.',
    [],
    ['code'],
  );
  for (const pipeline of pipelines) for (const code of rejectionCodes) quarantined.inc({ pipeline, code }, 0);
  const normalized = counter(
    registry,
    metricNames.valuesNormalized,
    'Values made canonical before masking, by kind.',
    [],
    ['kind'],
  );
  const dropped = counter(registry, metricNames.fieldsDropped, 'Fields that are in no column.', pipelines);
  events.on('batch_masked', (batch) => {
    const { pipeline } = batch;
    for (const [method, rows] of Object.entries(batch.masked)) masked.inc({ pipeline, method }, rows);
    for (const [kind, values] of Object.entries(batch.normalized)) normalized.inc({ pipeline, kind }, values);
    dropped.inc({ pipeline }, batch.fieldsDropped);
  });
  events.on('batch_loaded', (batch) => {
    const { pipeline, table } = batch;
    loaded.inc({ pipeline, table }, batch.loaded);
    for (const [further, rows] of Object.entries(batch.furtherRows ?? {}))
      loaded.inc({ pipeline, table: further }, rows);
    duplicate.inc({ pipeline }, batch.duplicates);
    for (const [code, records] of Object.entries(batch.codes)) quarantined.inc({ pipeline, code }, records);
    for (const { code } of batch.blocked ?? []) blocked.inc({ pipeline, code });
  });
}

function timeLoads(registry: Registry, events: EventBus): void {
  const copy = histogram(registry, metricNames.copyDuration, 'Seconds in COPY, by batch.', COPY_SECONDS);
  const size = histogram(registry, metricNames.batchSize, 'Records in a committed batch.', BATCH_ROWS);
  const lag = histogram(
    registry,
    metricNames.endToEndLag,
    'Seconds from sending the oldest message of a batch to its commit.',
    LAG_SECONDS,
  );
  const bytes = counter(registry, metricNames.copyBytes, 'Bytes of COPY data committed.', []);
  events.on('batch_loaded', (batch) => {
    const { pipeline } = batch;
    copy.observe({ pipeline }, batch.ms.copy / 1_000);
    size.observe({ pipeline }, batch.received);
    bytes.inc({ pipeline }, batch.bytes);
    if (batch.lagMs !== null) lag.observe({ pipeline }, Math.max(0, batch.lagMs) / 1_000);
  });
}

function followRuns(
  registry: Registry,
  events: EventBus,
  pipelines: readonly string[],
  read: MetricSources['schedules'],
): void {
  const runs = counter(registry, metricNames.runs, 'Runs ended, by result.', [], ['result']);
  for (const pipeline of pipelines) runs.inc({ pipeline, result: 'failed' }, 0);
  const duration = histogram(
    registry,
    metricNames.runDuration,
    'Seconds from start to end of a run.',
    RUN_SECONDS,
  );
  const isOpen = ({ isBreakerOpen }: ScheduleSample): number | null =>
    isBreakerOpen === null ? null : Number(isBreakerOpen);
  const breaker = scheduleGauge(
    registry,
    metricNames.breakerOpen,
    '1 while the breaker is open.',
    read,
    isOpen,
  );
  const lastSuccess = scheduleGauge(
    registry,
    metricNames.scheduleLastSuccess,
    'Start of the last tick that ended well, in Unix seconds.',
    read,
    ({ lastSuccessAt }) => (lastSuccessAt === null ? null : lastSuccessAt / 1_000),
  );
  const stopped = gauge(
    registry,
    metricNames.pipelineStopped,
    '1 while this process has stopped the pipeline.',
    ['pipeline'],
  );
  for (const pipeline of pipelines) {
    breaker.set({ pipeline }, 0);
    stopped.set({ pipeline }, 0);
  }
  events.on('pipeline_stopped', ({ pipeline, isStopped }) => stopped.set({ pipeline }, isStopped ? 1 : 0));
  events.on('run_finished', ({ pipeline, state, startedAt, finishedAt }) => {
    runs.inc({ pipeline, result: state });
    breaker.set({ pipeline }, state === 'breaker_open' ? 1 : 0);
    if (finishedAt !== null) duration.observe({ pipeline }, Math.max(0, finishedAt - startedAt) / 1_000);
  });
  events.on('schedule_tick', ({ pipeline, at, ok }) => {
    if (ok) lastSuccess.set({ pipeline }, at / 1_000);
  });
}

/** A gauge that what is read at a scrape goes into; while nothing can be read it stays as it was. */
function scheduleGauge(
  registry: Registry,
  name: string,
  help: string,
  read: MetricSources['schedules'],
  valueOf: (sample: ScheduleSample) => number | null,
): Gauge {
  const sample = async (): Promise<void> => {
    const answer = read ? await ask(read) : null;
    for (const one of answer?.ok ? answer.value : []) {
      const value = valueOf(one);
      if (value !== null) made.set({ pipeline: one.pipeline }, value);
    }
  };
  const made = gauge(registry, name, help, ['pipeline'], sample);
  return made;
}
