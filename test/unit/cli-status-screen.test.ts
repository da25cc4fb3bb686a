import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { problemLine, renderStatus, span, verdict } from '../../src/cli/status-screen.js';
import type { PipelineStatus, Problem, Status } from '../../src/ops/status.js';

const unknown: PipelineStatus = {
  pipeline: 'logins',
  table: 'public.logins',
  further_tables: [],
  schedule: '*/30 * * * * *',
  timezone: 'UTC',
  next_at: '2026-03-10T12:00:30.000Z',
  paused_at: null,
  paused_until: null,
  pause_reason: null,
  last_started_at: null,
  last_succeeded_at: null,
  overdue_since: null,
  breaker: null,
  breaker_since: null,
  breaker_reason: null,
  queue: null,
  queues: [{ queue: 'logins' }],
  backlog: null,
  failed_last_hour: null,
  quarantine: null,
  lag_seconds: null,
  last_run: null,
};

const known: PipelineStatus = {
  ...unknown,
  last_succeeded_at: '2026-03-10T11:58:30.000Z',
  breaker: 'closed',
  queue: { visible: 12, in_flight: 3, delayed: 1 },
  backlog: { transform: { waiting: 4, active: 2, failed: 0 }, load: { waiting: 0, active: 1, failed: 5 } },
  failed_last_hour: 2,
  quarantine: { open: 10_001, codes: { bad_ip: 10_000, missing_field: 1 }, capped: true },
  lag_seconds: 95,
  last_run: {
    run_id: '0195',
    trigger: 'schedule',
    state: 'succeeded',
    started_at: '2026-03-10T11:58:30.000Z',
    finished_at: '2026-03-10T11:58:40.000Z',
    received: 10,
    loaded: 7,
    duplicates: 1,
    quarantined: 2,
    released: 0,
  },
};

function statusOf(pipeline: PipelineStatus, rest: Partial<Status> = {}): Status {
  return {
    at: '2026-03-10T12:00:00.000Z',
    healthy: true,
    problems: [],
    dependencies: [{ name: 'postgres', ok: true, code: null }],
    processes: [],
    pipelines: [pipeline],
    ...rest,
  };
}

const screen = (status: Status): readonly string[] =>
  stripVTControlCharacters(renderStatus(status)).split('\n');

test('the screen begins with the verdict, and each problem with its remedy', () => {
  const problem: Problem = {
    kind: 'role_missing',
    subject: 'role load',
    what: 'no process',
    remedy: 'start `maskline run load`',
  };
  const lines = screen(statusOf(known, { healthy: false, problems: [problem] }));
  assert.match(lines[0] ?? '', /^unhealthy: 1 problem +2026-03-10T12:00:00/);
  assert.deepEqual(lines.slice(1, 3), ['  role load: no process', '    → start `maskline run load`']);
  assert.match(screen(statusOf(known))[0] ?? '', /^healthy/);
  assert.equal(problemLine(problem), 'role load: no process; start `maskline run load`');
  assert.equal(verdict({ healthy: false, problems: [problem, problem] }), 'unhealthy: 2 problems');
});

test('a pipeline is told in a few lines', () => {
  const lines = screen(statusOf(known));
  const text = (label: string): string | undefined =>
    lines.find((line) => line.startsWith(`  ${label} `))?.slice(15);
  assert.equal(text('schedule'), '*/30 * * * * * · next in 30 s · last good run began 1 min 30 s ago');
  assert.equal(text('SQS'), '12 visible, 3 in flight, 1 delayed');
  assert.equal(text('transform'), '4 batches waiting, 2 active');
  assert.equal(text('load'), '0 batches waiting, 1 active');
  assert.equal(text('failed'), '5 kept, 2 of them within the hour  (maskline failed list)');
  assert.equal(
    text('quarantine'),
    'more than 10000 open: 10000 bad_ip, 1 missing_field  (maskline quarantine list)',
  );
  assert.equal(text('lag'), 'at most 1 min 35 s');
  assert.equal(
    text('last run'),
    'succeeded (schedule) 1 min 20 s ago: received 10 = loaded 7 + duplicates 1 + quarantined 2 + released 0',
  );
});

test('what is not known is said to be so, and no line is left out', () => {
  const lines = screen(statusOf(unknown, { dependencies: [{ name: 'queue', ok: false, code: 'timeout' }] }));
  for (const label of ['SQS', 'transform', 'load', 'failed', 'quarantine', 'lag', 'last run']) {
    assert.ok(
      lines.some((line) => new RegExp(`^  ${label} +unknown`).test(line)),
      label,
    );
  }
  assert.equal(lines.at(-1), 'dependencies  queue timeout');
});

test('a pause, an open breaker and a silent process stand out in words', () => {
  const held = {
    ...known,
    next_at: null,
    paused_at: '2026-03-10T10:00:00.000Z',
    pause_reason: 'a move',
    breaker: 'open',
    breaker_since: '2026-03-09T12:00:00.000Z',
    breaker_reason: 'too many',
  } as const;
  const process = {
    role: 'load',
    owner: 'host:1',
    version: '1.2.3',
    pipelines: ['logins'],
    started_at: '2026-03-08T10:00:00.000Z',
    seen_at: '2026-03-10T11:59:00.000Z',
  };
  const text = screen(statusOf(held, { processes: [process] })).join('\n');
  assert.match(text, /schedule +\*\/30 \* \* \* \* \* · paused 2 h ago: a move · last good/);
  assert.match(text, /breaker +open since 1 d: too many/);
  assert.match(text, /load {2}host:1 {2}silent since 1 min, up 2 d 2 h, version 1\.2\.3: logins/);
});

test('spans are told in their two largest units', () => {
  const spans = [0, 59, 60, 61, 3_599, 3_600, 3_661, 86_399, 86_400, 90_000, -5].map((s) => span(s * 1_000));
  assert.deepEqual(spans, [
    '0 s',
    '59 s',
    '1 min',
    '1 min 1 s',
    '59 min 59 s',
    '1 h',
    '1 h 1 min',
    '23 h 59 min',
    '1 d',
    '1 d 1 h',
    '0 s',
  ]);
});

test('a pipeline of several tables names all of them', () => {
  const further_tables = ['public.items', 'shop.contacts'];
  const lines = screen(statusOf({ ...known, further_tables }));
  assert.ok(lines.includes('logins → public.logins, public.items, shop.contacts'), lines.join('\n'));
});
