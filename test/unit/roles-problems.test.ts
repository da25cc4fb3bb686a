import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PipelineConfig, Schedule } from '../../src/config/config.js';
import type { ProcessRecord } from '../../src/load/processes.js';
import type { Problem } from '../../src/ops/status.js';
import type { FailedJob } from '../../src/queue/failed-jobs.js';
import { type Evidence, findProblems, lagMs, overdueSince } from '../../src/roles/problems.js';
import type { Observed } from '../../src/roles/status.js';

// Noon, UTC: each time below is told by its distance to it.
const NOW = Date.parse('2026-03-10T12:00:00Z');
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

type Cron = Extract<Schedule, { kind: 'cron' }>;
const cron = (pattern: string, rest: Partial<Cron> = {}): Cron => ({
  kind: 'cron',
  cron: pattern,
  timezone: 'UTC',
  exclusive: false,
  pause: [],
  catchUp: true,
  ...rest,
});
const continuous = { kind: 'continuous', timezone: 'UTC', exclusive: false, pause: [] } as const;
const hourly = cron('0 * * * *');

interface Case {
  readonly name?: string;
  readonly schedule?: Schedule | null;
  /** Before now. */
  readonly succeeded?: number | null;
  readonly resumed?: number | null;
  readonly paused?: boolean;
  readonly breaker?: 'open' | 'closed';
  readonly visible?: number;
  readonly waiting?: Partial<Record<'transform' | 'load', number>>;
  readonly running?: boolean;
  /** Before now. */
  readonly latestSent?: number | null;
  readonly failed?: readonly Partial<FailedJob>[];
}

const never: readonly FailedJob[] = [];

function observed(given: Case): Observed {
  const { name = 'logins', schedule = hourly, succeeded = MINUTE, resumed = null, latestSent = null } = given;
  const at = (before: number | null): number | null => (before === null ? null : NOW - before);
  const stage = (waiting = 0): { waiting: number; active: number; failed: number } => ({
    waiting,
    active: 0,
    failed: 0,
  });
  return {
    pipeline: { name, schedule } as PipelineConfig,
    steering: {
      schedule: {
        pipeline: name,
        pausedAt: given.paused ? NOW - HOUR : null,
        reason: null,
        lastStartedAt: at(succeeded),
        lastSucceededAt: at(succeeded),
        resumedAt: at(resumed),
        turnOf: null,
      },
      breaker: {
        pipeline: name,
        state: given.breaker ?? 'closed',
        since: NOW - HOUR,
        reason: 'run 1 quarantined 60 of 100 records',
      },
    },
    state: {
      latestRun: null,
      isRunning: given.running ?? false,
      latestSentAt: at(latestSent),
      quarantine: { open: 0, codes: {}, capped: false },
    },
    depth: { visible: given.visible ?? 0, inFlight: 0, delayed: 0 },
    depths: [],
    backlog: { transform: stage(given.waiting?.transform), load: stage(given.waiting?.load) },
    failed: { transform: never, load: (given.failed ?? []) as readonly FailedJob[] },
  };
}

const process = (role: string, rest: Partial<ProcessRecord> = {}): ProcessRecord => ({
  role,
  owner: 'host:1',
  version: '1',
  pipelines: ['logins'],
  startedAt: NOW - 24 * HOUR,
  seenAt: NOW,
  stopped: {},
  silentMs: 0,
  ...rest,
});
const everyRole = ['ingest', 'transform', 'load'].map((role) => process(role));

function problems(given: Case | readonly Case[], evidence: Partial<Evidence> = {}): readonly Problem[] {
  const cases: readonly Case[] = 'map' in given ? given : [given];
  return findProblems({
    config: { healthMaxLagMs: 15 * MINUTE, queue: { backend: 'redis' } as Evidence['config']['queue'] },
    now: NOW,
    dependencies: [],
    processes: everyRole,
    observed: cases.map(observed),
    ...evidence,
  });
}

const said = (found: readonly Problem[]): string[] => found.map(({ subject, what }) => `${subject}: ${what}`);

test('a deployment at work has no problem', () => {
  assert.deepEqual(problems([{}, { schedule: continuous }, { schedule: null, succeeded: null }]), []);
  assert.deepEqual(problems({}, { processes: [process('all')] }), []);
});

test('every problem says what to do', () => {
  const found = [
    ...problems({ breaker: 'open' }),
    ...problems({ succeeded: 5 * HOUR }),
    ...problems({ failed: [{ code: 'table_unfit' }] }),
    ...problems({ visible: 1, succeeded: HOUR, schedule: continuous }),
    ...problems({}, { processes: [] }),
    ...problems({}, { dependencies: [{ name: 'queue', ok: false, code: 'redis_unavailable' }] }),
  ];
  assert.ok(found.length >= 6);
  for (const { subject, remedy } of found) assert.ok(remedy.length > 10, subject);
});

test('a schedule is overdue when two more slots have passed after the one that was missed', () => {
  // The last good run began at 08:59; 09:00 was missed, then 10:00, then 11:00.
  assert.deepEqual(said(problems({ succeeded: 3 * HOUR + MINUTE })), [
    'pipeline logins: no run of its schedule has ended well since 2026-03-10T08:59:00.000Z',
  ]);
  assert.deepEqual(
    problems({ succeeded: 2 * HOUR + 59 * MINUTE }),
    [],
    'at 09:01, only 10:00 and 11:00 were missed',
  );
  // 2026-03-10 is a Tuesday. From Friday 18:00 on, Monday 9:00 and Tuesday 9:00 are two slots, whatever the hours.
  const weekdays = cron('0 9 * * 1-5');
  assert.deepEqual(problems({ schedule: weekdays, succeeded: 90 * HOUR }), []);
  assert.equal(problems({ schedule: weekdays, succeeded: 100 * HOUR }).length, 1);
});

test('a schedule that nobody runs is overdue too, though it is the missing role that is the problem', () => {
  const late = observed({ succeeded: 3 * HOUR + MINUTE });
  const since = NOW - 3 * HOUR - MINUTE;
  assert.equal(overdueSince(late, everyRole, NOW), since);
  assert.equal(overdueSince(late, [], NOW), since);
  assert.equal(overdueSince(late, [process('ingest', { silentMs: HOUR, startedAt: NOW })], NOW), since);
  assert.deepEqual(
    problems({ succeeded: 3 * HOUR + MINUTE }, { processes: [] }).map(({ subject }) => subject),
    ['role all'],
  );
  for (const fine of [
    { succeeded: 2 * HOUR },
    { succeeded: null },
    { paused: true },
    { breaker: 'open' },
  ] as const)
    assert.equal(overdueSince(observed({ succeeded: 9 * HOUR, ...fine }), [], NOW), null);
  assert.equal(overdueSince(late, null, NOW), null, 'nobody knows');
});

test('the slots are those of the time zone of the schedule', () => {
  // 09:30 in Tokyo is 00:30 UTC. From 00:29 UTC two days ago on: that day's, yesterday's, and today's.
  const tokyo = cron('30 9 * * *', { timezone: 'Asia/Tokyo' });
  assert.equal(problems({ schedule: tokyo, succeeded: 48 * HOUR + 11 * HOUR + 31 * MINUTE }).length, 1);
  const utc = cron('30 13 * * *');
  assert.deepEqual(problems({ schedule: utc, succeeded: 48 * HOUR + 11 * HOUR + 31 * MINUTE }), []);
});

test('what is paused, at work, or was just resumed is not overdue, and an open breaker is one problem, not two', () => {
  const late = { succeeded: 30 * HOUR };
  assert.equal(problems(late).length, 1);
  assert.deepEqual(problems({ ...late, paused: true }), []);
  assert.deepEqual(problems({ ...late, running: true }), []);
  assert.deepEqual(problems({ ...late, resumed: HOUR }), []);
  assert.deepEqual(said(problems({ ...late, breaker: 'open', visible: 9 })), [
    'pipeline logins: its breaker has been open since 2026-03-10T11:00:00.000Z: run 1 quarantined 60 of 100 records',
  ]);
});

test('a pipeline that never succeeded is overdue by the start of its ingester', () => {
  const fresh = { processes: [process('all', { startedAt: NOW - 2 * MINUTE })] };
  const minutely = cron('* * * * *');
  assert.deepEqual(problems({ succeeded: null, schedule: minutely }, fresh), []);
  assert.equal(problems({ succeeded: null, schedule: minutely }).length, 1);
});

test('without catch_up an ingester that just started may wait for the next slot', () => {
  const processes = [process('all', { startedAt: NOW - MINUTE })];
  const schedule = cron('0 * * * *', { catchUp: false });
  assert.deepEqual(problems({ succeeded: 30 * HOUR, schedule }, { processes }), []);
  assert.equal(
    problems({ succeeded: 30 * HOUR }, { processes }).length,
    1,
    'with it, it should have run at once',
  );
});

test('`continuous` is overdue after three minutes without a good cut, also while a run is under way', () => {
  const given = { schedule: continuous, running: true };
  assert.deepEqual(problems({ ...given, succeeded: 2.9 * MINUTE }), []);
  assert.equal(problems({ ...given, succeeded: 3.3 * MINUTE }).length, 1);
});

test('a role that nobody serves is named with the pipelines that need it', () => {
  const without = (role: string): readonly ProcessRecord[] => everyRole.filter((one) => one.role !== role);
  for (const role of ['ingest', 'transform', 'load']) {
    const found = problems({ succeeded: 30 * HOUR }, { processes: without(role) });
    // A schedule that is overdue since nobody ingests is the same problem.
    assert.equal(said(found)[0], `role ${role}: no process for logins has been seen for 30 s`);
    assert.equal(found.length, role === 'ingest' ? 1 : 2);
  }
  const silent = [...without('load'), process('load', { stopped: {}, silentMs: 31_000 })];
  assert.equal(problems({}, { processes: silent }).length, 1);
  const other = [...without('load'), process('load', { pipelines: ['clicks'] })];
  assert.equal(problems({}, { processes: other }).length, 1);
});

test('that nothing runs at all is one problem, and over memory:// only `all` helps', () => {
  assert.deepEqual(
    problems([{}, { name: 'clicks' }], { processes: [] }).map(({ subject, remedy }) => [subject, remedy]),
    [['role all', 'start `maskline run`, or `run ingest`, `run transform` and `run load`']],
  );
  const config = {
    healthMaxLagMs: 15 * MINUTE,
    queue: { backend: 'memory' } as Evidence['config']['queue'],
  };
  const [problem] = problems({}, { config, processes: [] });
  assert.equal(problem?.remedy, 'start `maskline run`');
});

test('a pipeline that only `drain` runs needs workers for what waits, and nobody else', () => {
  const given = { schedule: null, succeeded: null };
  assert.deepEqual(problems(given, { processes: [] }), []);
  const waiting = problems({ ...given, waiting: { load: 1 } }, { processes: [] });
  assert.deepEqual(
    waiting.map(({ subject }) => subject),
    ['role load'],
  );
});

test('lag is 0 when nothing is waiting anywhere, else at most the time since the last good run began', () => {
  assert.equal(lagMs(observed({ succeeded: 9 * HOUR }), NOW), 0);
  for (const given of [{ visible: 1 }, { waiting: { transform: 1 } }, { waiting: { load: 1 } }]) {
    assert.equal(lagMs(observed({ succeeded: 9 * MINUTE, ...given }), NOW), 9 * MINUTE);
  }
  assert.equal(lagMs(observed({ succeeded: null, visible: 1 }), NOW), null);
  assert.equal(lagMs({ ...observed({}), depth: null }, NOW), null);
  assert.equal(lagMs({ ...observed({}), backlog: null }, NOW), null);
});

test('under `continuous` a queue that is not empty may hold what is as old as what was loaded last', () => {
  const given = { schedule: continuous, succeeded: MINUTE, latestSent: 5 * HOUR };
  assert.equal(lagMs(observed({ ...given, visible: 1 }), NOW), 5 * HOUR);
  assert.equal(lagMs(observed({ ...given, waiting: { load: 1 } }), NOW), MINUTE);
});

test('lag is a problem beyond max_lag, and what the schedule itself makes messages wait comes on top', () => {
  const waiting = { visible: 1, schedule: continuous };
  assert.deepEqual(said(problems({ ...waiting, succeeded: 15 * MINUTE, resumed: 0 })), []);
  assert.deepEqual(said(problems({ ...waiting, succeeded: 16 * MINUTE, resumed: 0 })), [
    'pipeline logins: messages may have waited for 16m (limit 15m)',
  ]);
  assert.deepEqual(problems({ visible: 1, succeeded: 59 * MINUTE }), [], 'after 11:01 comes 12:00');
  assert.equal(problems({ visible: 1, succeeded: 61 * MINUTE }).length, 1, 'after 10:59 came 11:00');
  assert.deepEqual(problems({ visible: 1, succeeded: 61 * MINUTE, paused: true }), []);
});

test('the remedy for lag names the stage that is behind', () => {
  const remedy = (waiting: NonNullable<Case['waiting']>): string =>
    problems({ visible: 1, succeeded: HOUR, resumed: 0, schedule: continuous, waiting })[0]?.remedy ?? '';
  assert.match(remedy({ load: 5, transform: 1 }), /^load is behind.*run load/);
  assert.match(remedy({ load: 1, transform: 5 }), /^transform is behind.*run transform/);
  assert.match(remedy({}), /received too slowly/);
});

test('failed jobs of the hour are told by stage and code', () => {
  const failed = [{ code: 'table_unfit' }, { code: 'expired' }, { code: 'table_unfit' }] as const;
  assert.deepEqual(said(problems({ failed })), [
    'pipeline logins: 3 load jobs failed within the hour: table_unfit, expired',
  ]);
});

test('what is away is told by its code, and what can not be known of it is no further problem', () => {
  const found = findProblems({
    config: { healthMaxLagMs: 1, queue: { backend: 'redis' } as Evidence['config']['queue'] },
    now: NOW,
    dependencies: [
      { name: 'postgres', ok: false, code: 'postgres_unavailable' },
      { name: 'queue', ok: false, code: 'timeout' },
      { name: 'source logins', ok: true, code: null },
    ],
    processes: null,
    observed: [{ ...observed({}), steering: null, state: null, depth: null, backlog: null, failed: null }],
  });
  assert.deepEqual(said(found), [
    'postgres: cannot be asked: postgres_unavailable',
    'queue: does not answer',
  ]);
});
