import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PipelineError } from '../../src/errors.js';
import { EventBus, type BatchLoaded } from '../../src/ops/events.js';
import { mergeExpositions } from '../../src/ops/exposition.js';
import { metricNames } from '../../src/ops/metric-names.js';
import type { MetricSources } from '../../src/ops/metric-sources.js';
import { createMetrics } from '../../src/ops/metrics.js';
import { pipelineStatus, statusOf } from '../support/status.js';

/** interface.md, "Metrics". */
const PROMISED = [
  'sqs_messages_received_total',
  'sqs_messages_deleted_total',
  'sqs_redeliveries_total',
  'sqs_queue_messages',
  'ingest_runs_total',
  'ingest_run_duration_seconds',
  'rows_masked_total',
  'rows_loaded_total',
  'rows_duplicate_total',
  'rows_quarantined_total',
  'rows_released_total',
  'values_normalized_total',
  'fields_dropped_total',
  'groups_blocked_total',
  'copy_duration_seconds',
  'copy_bytes_total',
  'batch_size_rows',
  'end_to_end_lag_seconds',
  'lag_seconds',
  'healthy',
  'problems',
  'processes',
  'quarantine_open_rows',
  'job_failures_total',
  'outage_waits_total',
  'intake_barred',
  'receipts_lost_total',
  'origins_refused_total',
  'schedule_overlaps_total',
  'http_refused_total',
  'backlog_batches',
  'breaker_open',
  'pipeline_stopped',
  'reveals_total',
  'schedule_last_success_timestamp_seconds',
  'build_info',
];

const loadedBatch: BatchLoaded = {
  pipeline: 'logins',
  batchId: 'b',
  runId: 'r',
  table: 'public.user_logins',
  received: 100,
  loaded: 90,
  duplicates: 4,
  quarantined: 6,
  released: 0,
  bytes: 12_000,
  copies: 1,
  ms: { ledger: 3, copy: 40, total: 50 },
  codes: { bad_ip: 5, refused_22001: 1 },
  lagMs: 7_000,
};

function setUp(sources: MetricSources = {}): {
  readonly events: EventBus;
  readonly scrape: () => Promise<readonly string[]>;
} {
  const events = new EventBus();
  const metrics = createMetrics({ events, version: '1.2.3', pipelines: ['logins'], sources });
  return { events, scrape: async () => (await metrics.render()).split('\n') };
}

test('every promised metric is there under its promised name, and no other of ours', async () => {
  const { scrape } = setUp({
    queues: () => Promise.resolve([]),
    backlog: () => Promise.resolve([]),
    reveals: () => Promise.resolve(new Map()),
    status: () => Promise.resolve(statusOf()),
  });
  const served = (await scrape()).flatMap((line) => /^# TYPE (maskline_\S+)/.exec(line)?.[1] ?? []);
  const promised = PROMISED.map((name) => `maskline_${name}`);
  assert.deepEqual(served.toSorted(), promised.toSorted());
  assert.deepEqual(Object.values<string>(metricNames).toSorted(), promised.toSorted());
});

test('counters of a pipeline start at zero, so that the first event shows as a rate', async () => {
  const { scrape } = setUp();
  const lines = await scrape();
  assert.ok(lines.includes('maskline_sqs_messages_received_total{pipeline="logins"} 0'));
  assert.ok(lines.includes('maskline_rows_duplicate_total{pipeline="logins"} 0'));
  assert.ok(lines.includes('maskline_breaker_open{pipeline="logins"} 0'));
  assert.ok(lines.includes('maskline_build_info{version="1.2.3"} 1'));
});

test('rows of further tables are counted by theirs', async () => {
  const { events, scrape } = setUp();
  const furtherRows = { 'public.items': 7, 'public.none': 0 };
  events.emit('batch_loaded', { ...loadedBatch, furtherRows });
  events.emit('batch_loaded', { ...loadedBatch, furtherRows });
  const lines = await scrape();
  for (const line of ['public.user_logins"} 180', 'public.items"} 14', 'public.none"} 0'])
    assert.ok(lines.includes(`maskline_rows_loaded_total{pipeline="logins",table="${line}`), line);
});

test('a committed batch counts its rows by outcome, table and code', async () => {
  const { events, scrape } = setUp();
  events.emit('batch_loaded', loadedBatch);
  events.emit('batch_loaded', { ...loadedBatch, lagMs: null });
  const lines = await scrape();
  for (const line of [
    'maskline_rows_loaded_total{pipeline="logins",table="public.user_logins"} 180',
    'maskline_rows_duplicate_total{pipeline="logins"} 8',
    'maskline_rows_quarantined_total{pipeline="logins",code="bad_ip"} 10',
    'maskline_rows_quarantined_total{pipeline="logins",code="refused_22001"} 2',
    'maskline_copy_bytes_total{pipeline="logins"} 24000',
    'maskline_copy_duration_seconds_sum{pipeline="logins"} 0.08',
    'maskline_copy_duration_seconds_bucket{le="0.025",pipeline="logins"} 0',
    'maskline_copy_duration_seconds_bucket{le="0.05",pipeline="logins"} 2',
    'maskline_batch_size_rows_bucket{le="100",pipeline="logins"} 2',
    'maskline_end_to_end_lag_seconds_sum{pipeline="logins"} 7',
    'maskline_end_to_end_lag_seconds_count{pipeline="logins"} 1',
  ]) {
    assert.ok(lines.includes(line), line);
  }
});

test('what goes wrong is counted by stage, code and reason', async () => {
  const { events, scrape } = setUp();
  const job = { pipeline: 'logins', stage: 'load', batchId: 'b', code: 'contention', attempt: 1 } as const;
  events.emit('job_failed', { ...job, final: false });
  events.emit('job_failed', { ...job, final: false });
  events.emit('job_failed', { ...job, code: 'leak_found', final: true });
  events.emit('batch_let_go', { pipeline: 'logins', batchId: 'b', runId: 'r', records: 30 });
  events.emit('batch_loaded', { ...loadedBatch, released: 4 });
  events.emit('receipt_lost', { pipeline: 'logins', receipts: 2 });
  events.emit('outage_waiting', { code: 'redis_unavailable' });
  events.emit('schedule_overlap', { pipeline: 'logins', at: 0 });
  const lines = await scrape();
  for (const line of [
    'maskline_job_failures_total{pipeline="logins",stage="load",code="contention",final="false"} 2',
    'maskline_job_failures_total{pipeline="logins",stage="load",code="leak_found",final="true"} 1',
    'maskline_rows_released_total{pipeline="logins"} 34',
    'maskline_receipts_lost_total{pipeline="logins"} 2',
    'maskline_outage_waits_total{code="redis_unavailable"} 1',
    'maskline_schedule_overlaps_total{pipeline="logins"} 1',
  ])
    assert.ok(lines.includes(line), line);
});

test('why nothing is received is one sample, until it is', async () => {
  const { events, scrape } = setUp();
  const barred = async (): Promise<readonly string[]> =>
    (await scrape()).filter((line) => line.startsWith('maskline_intake_barred{'));
  assert.deepEqual(await barred(), []);
  events.emit('intake', { pipeline: 'logins', bar: 'queue_memory' });
  events.emit('intake', { pipeline: 'logins', bar: 'backlog' });
  assert.deepEqual(await barred(), ['maskline_intake_barred{pipeline="logins",reason="backlog"} 1']);
  events.emit('intake', { pipeline: 'logins', bar: null });
  assert.deepEqual(await barred(), []);
});

test('refusals of HTTP are counted by status, and answers are not', async () => {
  const metrics = createMetrics({ events: new EventBus(), version: '1', pipelines: [] });
  for (const status of [200, 304, 401, 401, 404, 503]) metrics.answered(status);
  const lines = (await metrics.render()).split('\n').filter((line) => line.includes('http_refused_total{'));
  assert.deepEqual(
    lines.filter((line) => !line.endsWith(' 0')),
    ['maskline_http_refused_total{status="401"} 2', 'maskline_http_refused_total{status="404"} 1'],
  );
});

test('what status says is there at each scrape: problems, processes, lag and open quarantine', async () => {
  let status = statusOf({
    problems: [
      { kind: 'breaker_open', subject: 'pipeline user_logins', what: 'open', remedy: 'mend it' },
      { kind: 'role_missing', subject: 'role load', what: 'gone', remedy: 'start it' },
    ],
    pipelines: [
      pipelineStatus({ lag_seconds: 90, quarantine: { open: 3, codes: { bad_ip: 3 }, capped: false } }),
      pipelineStatus({ pipeline: 'orders', lag_seconds: null, quarantine: null }),
    ],
  });
  const { scrape } = setUp({ status: () => Promise.resolve(status) });
  const said = async (): Promise<readonly string[]> =>
    (await scrape()).filter((line) =>
      /^maskline_(?:healthy|problems|processes|lag_seconds|quarantine_open_rows)\b/.test(line),
    );
  assert.deepEqual(await said(), [
    'maskline_healthy 0',
    'maskline_problems{problem="breaker_open",subject="pipeline user_logins",pipeline="user_logins"} 1',
    'maskline_problems{problem="role_missing",subject="role load",pipeline=""} 1',
    'maskline_processes{role="all"} 1',
    'maskline_lag_seconds{pipeline="user_logins"} 90',
    'maskline_quarantine_open_rows{pipeline="user_logins",code="bad_ip"} 3',
  ]);
  status = statusOf();
  assert.deepEqual(await said(), [
    'maskline_healthy 1',
    'maskline_processes{role="all"} 1',
    'maskline_lag_seconds{pipeline="user_logins"} 0',
  ]);
});

test('masking counts rows by method, canonical values by kind and dropped fields', async () => {
  const { events, scrape } = setUp();
  const batch = { pipeline: 'logins', batchId: 'b', runId: 'r', rows: 10, rejected: 0, ms: 1 };
  events.emit('batch_masked', {
    ...batch,
    masked: { siv: 20 },
    normalized: { trimmed: 3 },
    fieldsDropped: 7,
  });
  const lines = await scrape();
  assert.ok(lines.includes('maskline_rows_masked_total{pipeline="logins",method="siv"} 20'));
  assert.ok(lines.includes('maskline_values_normalized_total{pipeline="logins",kind="trimmed"} 3'));
  assert.ok(lines.includes('maskline_fields_dropped_total{pipeline="logins"} 7'));
});

test('messages are counted as they come, go and come again', async () => {
  const { events, scrape } = setUp();
  events.emit('messages_received', { pipeline: 'logins', messages: 10, bytes: 3_000 });
  events.emit('redelivery', { pipeline: 'logins', messages: 2 });
  events.emit('messages_deleted', { pipeline: 'logins', messages: 9 });
  const lines = await scrape();
  assert.ok(lines.includes('maskline_sqs_messages_received_total{pipeline="logins"} 10'));
  assert.ok(lines.includes('maskline_sqs_redeliveries_total{pipeline="logins"} 2'));
  assert.ok(lines.includes('maskline_sqs_messages_deleted_total{pipeline="logins"} 9'));
});

test('a run that the breaker ends opens the gauge and the next good one closes it', async () => {
  const { events, scrape } = setUp();
  const counts = { received: 0, loaded: 0, duplicates: 0, quarantined: 0, released: 0 };
  const run = {
    ...counts,
    runId: 'r',
    pipeline: 'logins',
    trigger: 'schedule',
    startedAt: 1_000,
    finishedAt: 4_000,
  } as const;
  events.emit('run_finished', { ...run, state: 'breaker_open' });
  assert.ok((await scrape()).includes('maskline_breaker_open{pipeline="logins"} 1'));
  events.emit('run_finished', { ...run, state: 'succeeded' });
  events.emit('schedule_tick', { pipeline: 'logins', at: 1_700_000_000_000, ok: true });
  events.emit('schedule_tick', { pipeline: 'logins', at: 1_800_000_000_000, ok: false });
  const lines = await scrape();
  for (const line of [
    'maskline_breaker_open{pipeline="logins"} 0',
    'maskline_ingest_runs_total{pipeline="logins",result="breaker_open"} 1',
    'maskline_ingest_runs_total{pipeline="logins",result="succeeded"} 1',
    'maskline_ingest_run_duration_seconds_sum{pipeline="logins"} 6',
    'maskline_schedule_last_success_timestamp_seconds{pipeline="logins"} 1700000000',
  ]) {
    assert.ok(lines.includes(line), line);
  }
});

test('what a scrape asks for is fresh, and missing rather than stale when a dependency is away', async () => {
  let isAway = false;
  const { scrape } = setUp({
    queues: async () => {
      if (isAway) throw new PipelineError('sqs_unavailable', 'away');
      return [{ pipeline: 'logins', visible: 3, inFlight: 2, delayed: 1 }];
    },
    backlog: () => Promise.resolve([{ pipeline: 'logins', stage: 'load', batches: 5 }]),
    bullmq: () => Promise.resolve(['# HELP bullmq_jobs Jobs\n# TYPE bullmq_jobs gauge\nbullmq_jobs 1']),
  });
  const before = await scrape();
  assert.ok(before.includes('maskline_sqs_queue_messages{pipeline="logins",state="in_flight"} 2'));
  assert.ok(before.includes('maskline_backlog_batches{pipeline="logins",stage="load"} 5'));
  assert.ok(before.includes('bullmq_jobs 1'));
  isAway = true;
  const after = await scrape();
  assert.ok(!after.some((line) => line.startsWith('maskline_sqs_queue_messages{')));
  assert.ok(after.includes('maskline_backlog_batches{pipeline="logins",stage="load"} 5'));
});

test('texts of several queues become one, each family in one group', () => {
  const text = (queue: string): string =>
    `# HELP jobs Jobs\n# TYPE jobs gauge\njobs{q="${queue}"} 1\n# HELP done Done\n# TYPE done counter\ndone{q="${queue}"} 2`;
  assert.equal(
    mergeExpositions([text('a'), text('b')]),
    '# HELP jobs Jobs\n# TYPE jobs gauge\njobs{q="a"} 1\njobs{q="b"} 1\n\n' +
      '# HELP done Done\n# TYPE done counter\ndone{q="a"} 2\ndone{q="b"} 2\n',
  );
});

test('reveals are what their records tell, and stay as they were while these cannot be read', async () => {
  let answer: () => Promise<ReadonlyMap<string, number>> = () => Promise.resolve(new Map([['granted', 7]]));
  const { scrape } = setUp({ reveals: () => answer() });
  const served = async (): Promise<readonly string[]> =>
    (await scrape()).filter((line) => line.startsWith('maskline_reveals_total'));
  assert.deepEqual(await served(), ['maskline_reveals_total{outcome="granted"} 7']);
  answer = () => Promise.reject(new PipelineError('postgres_unavailable', 'away'));
  assert.deepEqual(await served(), ['maskline_reveals_total{outcome="granted"} 7']);
  answer = () =>
    Promise.resolve(
      new Map([
        ['granted', 9],
        ['no_key', 1],
      ]),
    );
  assert.deepEqual(await served(), [
    'maskline_reveals_total{outcome="granted"} 9',
    'maskline_reveals_total{outcome="no_key"} 1',
  ]);
});
