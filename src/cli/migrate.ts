import type { PipelineConfig } from '../config/config.js';
import { tablesOf } from '../config/tables.js';
import { recordBaselines } from '../load/baseline.js';
import type { PostgresPool } from '../load/connection.js';
import { migrate, migrationStatus } from '../load/migrate.js';
import { setRevealLimits } from '../load/reveals.js';
import { asOutage } from '../load/postgres-error.js';
import { ensureTargetPartitions, notePartitioning } from '../load/target-partitions.js';
import { createTarget, planTarget } from '../load/target-plan.js';
import { targetSpec } from '../load/target.js';
import { outlast } from '../policy.js';
import { databaseServer } from '../roles/database.js';
import { type Deployment, selectPipelines } from '../roles/deployment.js';
import { osUser } from '../roles/os-user.js';
import type { CliContext, Command } from './context.js';
import { openDeployment } from './deployment.js';
import { exitCode } from './exit.js';
import { withPool } from './database.js';
import { openProgress } from './progress.js';

/** `migrate [up]`: maskline's schema, BullMQ's where it is on Postgres, and target tables under `create: true`. */
export const migrateUp: Command<{ readonly dryRun?: boolean }> = async (context, { dryRun = false }) => {
  const deployment = openDeployment(context, 'migrate');
  if (dryRun) return printDryRun(context, deployment);
  const { config } = deployment;
  const progress = openProgress(context.line, deployment.log);
  progress.at('migrating');
  const done = await migrateDeployment(deployment, selectPipelines(config, context.pipelines)).finally(() =>
    progress.end(),
  );
  context.out.result(
    {
      migrations: done.migrations,
      partitions: done.partitions,
      statements: done.statements,
      baselines: done.baselines,
    },
    [
      `Schema maskline in ${config.file}'s database is up to date: ${done.migrations.length} migrations applied, ` +
        `${done.partitions} partitions made.`,
      ...done.statements.map((sql) => `  ran: ${sql}`),
      ...done.baselines.map((table) => `  counted the rows of ${table}, for \`maskline prove\``),
    ].join('\n'),
  );
  for (const table of done.unreadable) {
    context.out.note(
      `The rows of ${table} could not be counted, which \`maskline prove\` needs: grant select on it to the role that migrates.`,
    );
  }
  return exitCode.ok;
};

/** What `migrateDeployment` did. */
export interface Migrated {
  readonly migrations: readonly string[];
  readonly partitions: number;
  /** Statements run on target tables. */
  readonly statements: readonly string[];
  /** Target tables whose rows were counted, for `prove` to go by. */
  readonly baselines: readonly string[];
  /** Those whose rows the owner's role may not read. */
  readonly unreadable: readonly string[];
}

/** Once, all rows of a target table are counted, however many there are. */
const BASELINE_TIMEOUT_MS = 60 * 60_000;

/** Brings all of a deployment's schemas up to date; waits for a Postgres that is not there yet. */
export async function migrateDeployment(
  deployment: Deployment,
  pipelines: readonly PipelineConfig[],
): Promise<Migrated> {
  const { config, clock, onWait } = deployment;
  const { url, tls } = databaseServer(config, 'owner');
  const { backend, prefix, ownerUrl, tls: queueTls } = config.queue;
  const queue = { url: ownerUrl.reveal(), tls: queueTls, backend: 'postgres', prefix } as const;
  const never = new AbortController().signal;
  const { migrations, partitions } = await outlast(
    clock,
    () => migrate(url, { tls }),
    never,
    onWait,
    config.startupTimeoutMs,
  );
  if (backend === 'postgres') {
    const { migrateQueue } = await import('../queue/bullmq.js');
    await outlast(clock, () => migrateQueue(queue), never, onWait, config.startupTimeoutMs);
  }
  const statements: string[] = [];
  let targetPartitions = 0;
  const baselines: string[] = [];
  const unreadable: string[] = [];
  const prepare = async (pool: PostgresPool): Promise<void> => {
    await setRevealLimits(pool, config.reveal, osUser());
    for (const pipeline of pipelines) {
      const { name, target, further } = pipeline;
      for (const table of tablesOf(pipeline).filter((one) => one.target.create))
        statements.push(...(await createTarget(pool, targetSpec(table, table.target))));
      await notePartitioning(pool, name, [target, ...further]);
      for (const { table, state } of await recordBaselines(pool, pipeline)) {
        if (state === 'taken') baselines.push(table);
        if (state === 'unreadable') unreadable.push(table);
      }
    }
    targetPartitions = await asOutage(() => ensureTargetPartitions(pool));
  };
  await withPool(deployment, 'migrate', prepare, { statementTimeoutMs: BASELINE_TIMEOUT_MS });
  return { migrations, partitions: partitions + targetPartitions, statements, baselines, unreadable };
}

async function printDryRun({ out, pipelines }: CliContext, deployment: Deployment): Promise<number> {
  const { config } = deployment;
  const { url, tls } = databaseServer(config, 'owner');
  const { sql } = await migrate(url, { tls, dryRun: true });
  const plan = await planned(deployment, pipelines);
  const automatic = plan.filter((step) => step.automatic).map((step) => `${step.sql};`);
  out.text([sql, ...automatic].filter(Boolean).join('\n'));
  return exitCode.ok;
}

/** `migrate status`: which migrations the database has. */
export const migrateStatus: Command<object> = async (context) => {
  const deployment = openDeployment(context, 'migrate');
  const status = await withPool(deployment, 'migrate', (pool) => migrationStatus(pool));
  const rows = [
    ...status.applied.map((migration) => ({ migration, state: 'applied' })),
    ...status.pending.map((migration) => ({ migration, state: 'pending' })),
    ...status.newer.map((migration) => ({ migration, state: 'newer than this version' })),
  ];
  context.out.list(rows, ['migration', 'state']);
  return status.pending.length > 0 ? exitCode.failed : exitCode.ok;
};

/** `migrate plan`: the SQL that would make the target tables fit; it runs none of it. */
export const migratePlan: Command<object> = async (context) => {
  const deployment = openDeployment(context, 'migrate');
  const plan = await planned(deployment, context.pipelines);
  if (plan.length === 0) context.out.note('All target tables fit.');
  else
    context.out.text(
      plan
        .map((step) => `${step.sql};${step.automatic ? '' : ' -- not run by migrate: run it yourself'}`)
        .join('\n'),
    );
  return exitCode.ok;
};

async function planned(deployment: Deployment, names: readonly string[]) {
  return withPool(deployment, 'migrate', async (pool) => {
    const tables = selectPipelines(deployment.config, names).flatMap(tablesOf);
    const plans = tables.map((table) => planTarget(pool, targetSpec(table, table.target)));
    const steps = (await Promise.all(plans)).flat();
    // Tables may want one schema.
    return [...new Map(steps.map((step) => [step.sql, step])).values()];
  });
}
