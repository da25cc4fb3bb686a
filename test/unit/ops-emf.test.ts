import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/clock.js';
import { EmfTotals, statusLine } from '../../src/ops/emf.js';
import { EventBus } from '../../src/ops/events.js';
import { startEmf } from '../../src/roles/emf.js';
import { pipelineStatus, statusOf } from '../support/status.js';

// Amazon CloudWatch User Guide, "Specification: embedded metric format", as facts.
const UNITS = [
  ...['Seconds', 'Microseconds', 'Milliseconds', 'Percent', 'Count', 'Count/Second', 'None'],
  ...['Bytes', 'Kilobytes', 'Megabytes', 'Gigabytes', 'Terabytes'],
  ...['Bits', 'Kilobits', 'Megabits', 'Gigabits', 'Terabits'],
  ...['Bytes/Second', 'Kilobytes/Second', 'Megabytes/Second', 'Gigabytes/Second', 'Terabytes/Second'],
  ...['Bits/Second', 'Kilobits/Second', 'Megabits/Second', 'Gigabits/Second', 'Terabits/Second'],
];
const MAX_METRICS = 100;
const MAX_DIMENSIONS = 30;
const MAX_TEXT = 1_024;
const MAX_DIMENSION_NAME = 250;

type Json = Readonly<{ [name: string]: unknown }>;

interface Directive {
  readonly Namespace: string;
  readonly Dimensions: readonly (readonly string[])[];
  readonly Metrics: readonly { readonly Name: string; readonly Unit: string }[];
}

/** The line's members, when it obeys the specification. */
function checked(line: string): Json {
  assert.ok(line.endsWith('\n') && !line.slice(0, -1).includes('\n'), 'one line');
  const root = JSON.parse(line) as Json & {
    readonly _aws: { readonly Timestamp: number; readonly CloudWatchMetrics: readonly Directive[] };
  };
  const { _aws: metadata } = root;
  assert.deepEqual(Object.keys(metadata).toSorted(), ['CloudWatchMetrics', 'Timestamp']);
  assert.ok(Number.isSafeInteger(metadata.Timestamp));
  for (const { Namespace, Dimensions, Metrics, ...rest } of metadata.CloudWatchMetrics) {
    assert.deepEqual(rest, {});
    assert.ok(Namespace.length > 0 && Namespace.length <= MAX_TEXT);
    assert.ok(Dimensions.length > 0);
    for (const set of Dimensions) {
      assert.ok(set.length > 0 && set.length <= MAX_DIMENSIONS);
      for (const name of set) {
        assert.ok(name.length > 0 && name.length <= MAX_DIMENSION_NAME);
        const value = root[name];
        assert.ok(typeof value === 'string' && value.length > 0 && value.length <= MAX_TEXT, name);
      }
    }
    assert.ok(Metrics.length > 0 && Metrics.length <= MAX_METRICS);
    for (const { Name, Unit, ...more } of Metrics) {
      assert.deepEqual(more, {});
      assert.ok(UNITS.includes(Unit), Unit);
      assert.ok(Number.isFinite(root[Name]), Name);
    }
  }
  return root;
}

const loaded = {
  ...{
    pipeline: 'logins',
    batchId: 'b',
    runId: 'r',
    table: 't',
    received: 10,
    bytes: 1,
    copies: 1,
    codes: {},
  },
  ...{ loaded: 7, duplicates: 1, quarantined: 1, released: 1, ms: { ledger: 1, copy: 1, total: 2 } },
};

test('each event is in one line of its pipeline, which obeys the specification, and in no second one', () => {
  const events = new EventBus();
  const totals = new EmfTotals(events, ['logins', 'orders']);
  events.emit('messages_received', { pipeline: 'logins', messages: 10, bytes: 100 });
  events.emit('batch_loaded', { ...loaded, lagMs: 2_500 });
  events.emit('batch_loaded', { ...loaded, lagMs: 1_500 });
  events.emit('batch_loaded', { ...loaded, lagMs: null });
  events.emit('batch_let_go', { pipeline: 'logins', batchId: 'b', runId: 'r', records: 5 });
  const job = { pipeline: 'logins', stage: 'load', batchId: 'b', code: 'contention', attempt: 1 } as const;
  events.emit('job_failed', { ...job, final: false });
  events.emit('job_failed', { ...job, final: true });
  events.emit('pipeline_stopped', { pipeline: 'orders', isStopped: true });
  const [logins = {}, orders = {}] = totals.lines(1_700_000_000_000).map(checked);
  const { _aws: _, ...values } = logins;
  assert.deepEqual(values, {
    pipeline: 'logins',
    MessagesReceived: 10,
    MessagesDeleted: 0,
    RowsLoaded: 21,
    RowsDuplicate: 3,
    RowsQuarantined: 3,
    RowsReleased: 8,
    JobsFailed: 1,
    Stopped: 0,
    EndToEndLag: 2.5,
  });
  assert.deepEqual([orders['pipeline'], orders['Stopped'], orders['RowsLoaded']], ['orders', 1, 0]);
  const [next = {}] = totals.lines(1_700_000_060_000).map(checked);
  assert.deepEqual([next['RowsLoaded'], next['EndToEndLag']], [0, undefined]);
});

test('how the deployment is, is a line of its own', () => {
  const problem = { kind: 'queue', subject: 'queue', what: 'does not answer', remedy: 'mend it' } as const;
  const pipelines = [pipelineStatus({ lag_seconds: 90 }), pipelineStatus({ lag_seconds: 7 })];
  const line = checked(statusLine(statusOf({ problems: [problem], pipelines }), 1_700_000_000_000));
  assert.deepEqual([line['Problems'], line['Lag']], [1, 90]);
  const unknown = statusOf({ pipelines: [pipelineStatus({ lag_seconds: null })] });
  assert.equal(checked(statusLine(unknown, 1_700_000_000_000))['Lag'], undefined);
});

test('a process that ends says what it has not said yet; one that is not asked to says nothing', async () => {
  const written: string[] = [];
  const write = (line: string): unknown => written.push(line);
  const events = new EventBus();
  const off = { config: { metrics: { emf: false } }, clock: systemClock, events };
  assert.equal(startEmf(off, { pipelines: ['logins'], write }), null);
  const on = { ...off, config: { metrics: { emf: true } } };
  const emf = startEmf(on, { pipelines: ['logins'], write });
  events.emit('messages_deleted', { pipeline: 'logins', messages: 3 });
  await emf?.stop();
  assert.deepEqual(
    written.map((line) => checked(line)['MessagesDeleted']),
    [3],
  );
});
