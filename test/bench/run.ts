import { resolve } from 'node:path';
import { systemClock } from '../../src/clock.js';
import { Releases } from '../../src/lifecycle.js';
import { type PostgresPool, createPool } from '../../src/load/connection.js';
import { listRuns } from '../../src/load/runs.js';
import { createScheduleLog } from '../../src/load/schedules.js';
import { createSqsClient } from '../../src/source/sqs.js';
import { type RoleProcess, runCommand, startRole } from './cli-process.js';
import {
  type By,
  type Measured,
  type Outcome,
  type ProcessName,
  type RoleName,
  by,
  problemOf,
  processNames,
  roleNames,
} from './figures.js';
import { type Stack, startStack } from './stack.js';
import { type Usage, readUsage } from './usage.js';

/** One query on a table of a row or two: often enough to end in time, seldom enough not to show in Postgres's CPU. */
const POLL_MS = 50;
/** A run that is slower than this by the message, after a minute's grace, is stuck. */
const SLOWEST_PER_SECOND = 200;
const GRACE_MS = 60_000;

/** What a run has measured, and what it ran on. */
export interface MeasuredRun {
  readonly measured: Measured;
  readonly batches: number;
  readonly bodyBytes: number;
  readonly postgresVersion: string;
  readonly pipeline: Stack['pipeline'];
}

/**
 * One run with servers and processes of its own. Throws, without figures, when a process fails, when it takes far
 * too long, and when rows, ledger and queue don't account for every message.
 */
export async function measureRun(
  options: { readonly messages: number; readonly run: number; readonly profileDir: string | null },
  signal: AbortSignal,
): Promise<MeasuredRun> {
  const releases = new Releases();
  try {
    const stack = await startStack(releases, options.messages);
    await runCommand(stack, 'migrate');
    const pool = await releases.acquire(
      createPool({ url: stack.databaseUrl, applicationName: 'maskline-bench', max: 1 }),
      (open) => open.close(),
    );
    const schedules = createScheduleLog(pool);
    // Roles come up without receiving, so that what that costs can be told from the work.
    await schedules.pause(stack.pipeline.name, 'until every role is ready');
    const roles = await startRoles(stack, releases, options);
    const before = await usages(stack, roles);
    await schedules.resume(stack.pipeline.name);
    await finished(pool, options.messages, roles, signal);
    const after = await usages(stack, roles);
    const problem = problemOf(await outcomeOf(stack, pool));
    if (problem !== null) throw new Error(problem);
    const { wallMs, batches, version } = await wallTime(pool);
    return {
      measured: { messages: options.messages, wallMs, before, after },
      batches,
      bodyBytes: stack.sqs.bodyBytes / stack.sqs.messages,
      postgresVersion: version,
      pipeline: stack.pipeline,
    };
  } finally {
    await releases.release();
  }
}

async function startRoles(
  stack: Stack,
  releases: Releases,
  { run, profileDir }: { readonly run: number; readonly profileDir: string | null },
): Promise<By<RoleName, RoleProcess>> {
  const nodeArgs = (role: RoleName): readonly string[] =>
    profileDir === null
      ? []
      : ['--cpu-prof', `--cpu-prof-dir=${resolve(profileDir)}`, `--cpu-prof-name=${role}-${run}.cpuprofile`];
  const [ingest, transform, load] = await Promise.all(
    roleNames.map((role) => startRole(stack, releases, role, nodeArgs(role))),
  );
  if (!ingest || !transform || !load) throw new TypeError('there are three roles');
  return { ingest, transform, load };
}

async function usages(stack: Stack, roles: By<RoleName, RoleProcess>): Promise<By<ProcessName, Usage>> {
  const pids: By<ProcessName> = { ...by(roleNames, (role) => roles[role].pid), ...stack.pids };
  const read = await Promise.all(
    processNames.map(async (name) => [name, await readUsage(pids[name])] as const),
  );
  return Object.fromEntries(read) as By<ProcessName, Usage>;
}

/** Waits until runs that have ended account for all messages. A run ends when it has deleted what was committed. */
async function finished(
  pool: PostgresPool,
  messages: number,
  roles: By<RoleName, RoleProcess>,
  signal: AbortSignal,
): Promise<void> {
  const limitMs = GRACE_MS + (messages / SLOWEST_PER_SECOND) * 1_000;
  const over = new AbortController();
  const failed = Promise.race(roleNames.map((role) => roles[role].failed));
  const giveUpAt = systemClock.now() + limitMs;
  const accountedFor = async (): Promise<void> => {
    for (;;) {
      const runs = await listRuns(pool, { limit: 100 });
      const received = runs.reduce((sum, run) => sum + run.received, 0);
      const isIdle = runs.every((run) => run.state !== 'running');
      if (isIdle && received >= messages) return;
      if (signal.aborted) throw new Error('interrupted');
      if (over.signal.aborted) return;
      if (systemClock.now() > giveUpAt) {
        throw new Error(
          `after ${Math.round(limitMs / 1_000)} s, ${received} of ${messages} messages were received`,
        );
      }
      await systemClock.sleep(POLL_MS, AbortSignal.any([signal, over.signal]));
    }
  };
  try {
    await Promise.race([accountedFor(), failed]);
  } finally {
    over.abort();
  }
}

async function outcomeOf({ sqs, pipeline }: Stack, pool: PostgresPool): Promise<Outcome> {
  const { schema, table } = pipeline.target;
  const { rows } = await pool.query<Omit<Outcome, 'sent' | 'leftInQueue'>>(
    `select (select count(*)::float8 from ${schema}.${table}) as rows,
            (select count(distinct record_id)::float8 from maskline.ledger where outcome = 'loaded') as "ledgerEntries",
            coalesce(sum(loaded), 0)::float8 as loaded,
            coalesce(sum(duplicates + quarantined + released), 0)::float8 as "notLoaded"
       from maskline.runs`,
  );
  const client = createSqsClient({ ...pipeline.source.sqs.queues[0], queue: sqs.queueUrl });
  const queue = await client.attributes().finally(() => client.close());
  const counts = rows[0];
  if (counts === undefined || queue === null) throw new Error('the table or the queue is gone');
  return { ...counts, sent: sqs.messages, leftInQueue: queue.visible + queue.inFlight };
}

/** From the first receive to the last commit, as maskline itself has written them down. */
async function wallTime(pool: PostgresPool) {
  const { rows } = await pool.query<{ wallMs: number; batches: number; version: string }>(
    `select extract(epoch from max(loaded_at) - min(received_at))::float8 * 1000 as "wallMs",
            count(*)::float8 as batches, current_setting('server_version') as version
       from maskline.loads where state = 'committed'`,
  );
  if (!rows[0]) throw new Error('no batch was committed');
  return rows[0];
}
