// An admin server of canned answers, and made-up states for its pages.

import type { ActionPlan, Actions } from '../../src/ops/admin/actions.js';
import type { FailedGroup } from '../../src/ops/admin/failed-page.js';
import type { KeyringView } from '../../src/ops/admin/keys-card.js';
import type { QuarantineGroup } from '../../src/ops/admin/quarantine-page.js';
import type { RunDetails } from '../../src/ops/admin/run-page.js';
import type { AdminServerOptions, Views } from '../../src/ops/admin/server.js';
import type { Activity } from '../../src/ops/admin/stages.js';
import type { Status } from '../../src/ops/status.js';
import { type BoardQueue, boardJob } from '../../src/queue/board.js';
import { NOW, before, pipelineStatus, recentRun, statusOf } from './status.js';

/** The options of a server on loopback that only shows, but for what is given. */
export function adminOptions(over: Partial<AdminServerOptions> = {}): AdminServerOptions {
  return {
    host: '127.0.0.1',
    port: 0,
    checks: { postgres: () => Promise.resolve() },
    metrics: { contentType: 'text/plain', render: () => Promise.resolve('up 1\n') },
    auth: null,
    metricsPublic: false,
    watch: { read: () => Promise.resolve({ status: statusOf(), awaySince: new Map() }) },
    views: viewsOf(),
    actions: null,
    queues: [],
    version: '0.1.0',
    ...over,
  };
}

/** Views of a deployment in which all is well, but for what is given. */
export function viewsOf(over: Partial<Views> = {}): Views {
  return {
    runs: () => Promise.resolve(Array.from({ length: 8 }, (_, index) => demoRun(index))),
    activity: () => Promise.resolve(new Map([['user_logins', demoActivity()]])),
    keyring: () => Promise.resolve(demoKeyring),
    failed: () => Promise.resolve([]),
    quarantine: () => Promise.resolve([]),
    run: () => Promise.resolve(null),
    ...over,
  };
}

/** Actions that do nothing, but note what they were asked for. */
export function notingActions(plan: Partial<ActionPlan> = {}): Actions & {
  readonly performed: { readonly request: unknown; readonly by: string; readonly reason: string | null }[];
} {
  const performed: { request: unknown; by: string; reason: string | null }[] = [];
  return {
    performed,
    hasKeys: () => true,
    plan: () =>
      Promise.resolve({
        title: 'Retry 3 failed jobs',
        effect: ['3 failed jobs of user_logins with 1500 records are loaded once more.'],
        command: 'maskline failed retry --all -p user_logins --code table_unfit',
        refusal: null,
        ...plan,
      }),
    perform: (request, by, reason) => {
      performed.push({ request, by, reason });
      return Promise.resolve({ text: 'Retried: received 1500, loaded 1500', runId: demoRun(0).run_id });
    },
  };
}

/** A queue of failed jobs of these ids, of one pipeline's load stage. */
export function boardOf({ failed }: { readonly failed: readonly string[] }): BoardQueue {
  const jobs = failed.map((id, index) =>
    boardJob(
      {
        id,
        name: 'batch',
        data: { v: 1, kid: 7, n: 500, bytes: 81_920, ct: 'c2VhbGVk' },
        opts: { attempts: 8 },
        attemptsMade: 8,
        timestamp: Date.now() - 60_000,
        processedOn: Date.now() - 50_000,
        finishedOn: Date.now() - 40_000,
        failedReason: 'table_unfit: column x is too short',
      },
      index + 1,
    ),
  );
  return {
    name: 'load.user_logins',
    counts: () => Promise.resolve({ active: 0, waiting: 0, delayed: 0, failed: jobs.length, completed: 0 }),
    jobs: (states) => Promise.resolve(states.includes('failed') ? jobs : []),
    job: (id) => {
      const found = jobs.find((job) => job.id === id);
      return Promise.resolve(found ? { ...found, state: 'failed' } : null);
    },
    isPaused: () => Promise.resolve(false),
    finished: () => Promise.resolve({ total: 3, perMinute: [1, 2], at: Date.now() }),
  };
}

/** A run of a quiet hour; each is half a minute older than the one before. */
function demoRun(index: number): ReturnType<typeof recentRun> {
  const received = 2_040 - 97 * index;
  const quarantined = index % 3 === 0 ? 10 : 0;
  return recentRun({
    run_id: `019ca8c0-0000-7000-8000-0000000000${String(10 + index)}`,
    started_at: before(18 + 30 * index),
    finished_at: before(16 + 30 * index),
    received,
    loaded: received - quarantined - 30,
    quarantined,
  });
}

/** An hour with a wave in it, the same each time. */
function demoActivity(): Activity {
  const minutes = Array.from({ length: 60 }, (_, index) => ({
    at: Math.floor(NOW / 60_000) * 60_000 - (59 - index) * 60_000,
    loaded: Math.round(3_000 + 1_400 * Math.sin(index / 7) + 350 * Math.sin(index * 2.3)),
    duplicates: 60 + ((index * 37) % 50),
    quarantined: index > 38 && index < 46 ? 180 + index * 4 : 12,
  }));
  return { minutes, receivedLastMinute: 4_020, settledLastMinute: 3_985 };
}

/** Two keys, one of them of today. */
export const demoKeyring: KeyringView = {
  id: 'kr_demo',
  trouble: null,
  keys: [
    { kid: 1, state: 'decrypt-only', created_at: '2025-11-03T08:00:00.000Z', last_at: null },
    { kid: 2, state: 'primary', created_at: '2026-02-11T08:00:00.000Z', last_at: before(16) },
  ],
};

/** A run with three batches, one of which was let go. */
export const demoDetails: RunDetails = {
  ...demoRun(0),
  owner: 'ingest-1:4242',
  isCut: false,
  batches: [1_000, 1_000, 40].map((received, index) => ({
    batch_id: `019ca8c0-0000-7000-8000-0000000001${String(10 + index)}`,
    state: index === 2 ? 'released' : 'committed',
    received,
    loaded: index === 2 ? 0 : received - 20,
    duplicates: index === 2 ? 0 : 15,
    quarantined: index === 2 ? 0 : 5,
    released: index === 2 ? received : 0,
    bytes: received * 180,
    received_at: before(18),
    loaded_at: index === 2 ? null : before(16),
    kids: index === 2 ? [] : [2],
  })),
};

/** Failed jobs of two causes. */
export const demoFailed: readonly FailedGroup[] = [
  {
    pipeline: 'user_logins',
    stage: 'load',
    code: 'table_unfit',
    remedy: 'run `maskline validate --connect`, then mend the table or the column',
    count: 12,
    records: 11_840,
    firstAt: NOW - 2_900_000,
    lastAt: NOW - 95_000,
    jobs: Array.from({ length: 3 }, (_, index) => ({
      id: `019ca8c0-0000-7000-8000-0000000002${String(10 + index)}`,
      records: 1_000,
      bytes: 84_200 + 731 * index,
      attempts: 1,
      failedAt: NOW - 95_000 - 211_000 * index,
    })),
  },
  {
    pipeline: 'user_logins',
    stage: 'transform',
    code: 'worker_died',
    remedy: 'look into the log of the workers, and at their memory limit',
    count: 1,
    records: 1_000,
    firstAt: NOW - 5_400_000,
    lastAt: NOW - 5_400_000,
    jobs: [
      {
        id: '019ca8c0-0000-7000-8000-000000000230',
        records: 1_000,
        bytes: 91_400,
        attempts: 1,
        failedAt: NOW - 5_400_000,
      },
    ],
  },
];

/** Entries of two codes. */
export const demoQuarantine: readonly QuarantineGroup[] = [
  {
    pipeline: 'user_logins',
    code: 'missing_field',
    path: 'device_id',
    kind: 'raw',
    count: 812,
    first_at: before(3_000),
    last_at: before(40),
    least_bytes: 182,
    most_bytes: 264,
    meaning: 'a required field is missing, null or empty',
    remedy:
      'correct `from` if the sender has renamed the field, or drop `required: true`, where the column takes NULL',
    isDangerous: false,
    sample: [0, 1, 2].map((index) => ({
      id: `019ca8c0-0000-7000-8000-0000000003${String(10 + index)}`,
      bytes: 190 + 31 * index,
      kid: 2,
      sent_at: before(45 + index),
      quarantined_at: before(40 + index),
    })),
  },
  {
    pipeline: 'user_logins',
    code: 'refused_23514',
    path: null,
    kind: 'masked',
    count: 1,
    first_at: before(7_300),
    last_at: before(7_300),
    least_bytes: 412,
    most_bytes: 412,
    meaning: 'a CHECK of the table refuses the row',
    remedy: 'mend the constraint, or purge the entry',
    isDangerous: false,
    sample: [
      {
        id: '019ca8c0-0000-7000-8000-000000000320',
        bytes: 412,
        kid: 2,
        sent_at: before(7_304),
        quarantined_at: before(7_300),
      },
    ],
  },
];

/** A deployment of four processes that is at work, with failed jobs and quarantine on the side. */
export function demoStatus(): Status {
  const roles = ['admin', 'ingest', 'load', 'load', 'transform', 'transform', 'transform'];
  return statusOf({
    problems: [
      {
        kind: 'jobs_failed',
        subject: 'pipeline user_logins',
        what: '12 load jobs failed within the hour: table_unfit',
        remedy: 'see `maskline failed list -p user_logins`, mend the cause, then `maskline failed retry`',
      },
    ],
    processes: roles.map((role, index) => ({
      role,
      owner: `${role}-${String(roles.slice(0, index).filter((each) => each === role).length + 1)}:${String(4_100 + index)}`,
      version: '0.1.0',
      pipelines: ['user_logins'],
      started_at: before(7_200 + 60 * index),
      seen_at: before(2 + index),
    })),
    pipelines: [
      pipelineStatus({
        queue: { visible: 1_284, in_flight: 2_000, delayed: 0 },
        backlog: {
          transform: { waiting: 3, active: 2, failed: 1 },
          load: { waiting: 0, active: 1, failed: 12 },
        },
        failed_last_hour: 12,
        quarantine: { open: 813, codes: { missing_field: 812, refused_23514: 1 }, capped: false },
        lag_seconds: 18,
        last_run: demoRun(0),
      }),
    ],
  });
}
