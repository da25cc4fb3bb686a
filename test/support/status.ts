// Made-up states of a deployment, for what shows them.

import type { RecentRun } from '../../src/ops/admin/tables.js';
import type { PipelineStatus, Status } from '../../src/ops/status.js';

/** When all of it is looked at. */
export const NOW = Date.parse('2026-03-01T12:00:00.000Z');

/** So many seconds before `NOW`, as ISO 8601. */
export function before(seconds: number): string {
  return new Date(NOW - seconds * 1_000).toISOString();
}

const IDLE = { waiting: 0, active: 0, failed: 0 };

/** A pipeline without a care, but for what is given. */
export function pipelineStatus(over: Partial<PipelineStatus> = {}): PipelineStatus {
  return {
    pipeline: 'user_logins',
    table: 'public.user_logins',
    further_tables: [],
    schedule: '*/30 * * * * *',
    timezone: 'UTC',
    next_at: before(-12),
    paused_at: null,
    paused_until: null,
    pause_reason: null,
    last_started_at: before(18),
    last_succeeded_at: before(18),
    overdue_since: null,
    breaker: 'closed',
    breaker_since: null,
    breaker_reason: null,
    queue: { visible: 0, in_flight: 0, delayed: 0 },
    queues: [{ queue: 'logins', visible: 0, in_flight: 0, delayed: 0 }],
    backlog: { transform: IDLE, load: IDLE },
    failed_last_hour: 0,
    quarantine: { open: 0, codes: {}, capped: false },
    lag_seconds: 0,
    last_run: recentRun(),
    ...over,
  };
}

/** A run that went well, but for what is given. */
export function recentRun(
  over: Partial<RecentRun> = {},
): RecentRun & NonNullable<PipelineStatus['last_run']> {
  return {
    run_id: '019ca8c0-0000-7000-8000-000000000001',
    pipeline: 'user_logins',
    started_at: before(18),
    finished_at: before(16),
    received: 2_040,
    loaded: 2_000,
    duplicates: 30,
    quarantined: 10,
    released: 0,
    ...over,
    trigger: 'schedule',
    state: 'succeeded',
  };
}

/** A deployment in which all is well, but for what is given. */
export function statusOf(over: Partial<Status> = {}): Status {
  return {
    at: before(0),
    healthy: (over.problems ?? []).length === 0,
    problems: [],
    dependencies: ['postgres', 'queue', 'source user_logins'].map((name) => ({ name, ok: true, code: null })),
    processes: [
      {
        role: 'all',
        owner: 'host-1:4242',
        version: '0.1.0',
        pipelines: ['user_logins'],
        started_at: before(7_200),
        seen_at: before(3),
      },
    ],
    pipelines: [pipelineStatus()],
    ...over,
  };
}
