import { parsePostgresUrl } from '../address/postgres-url.js';
import type { PipelineConfig } from '../config/config.js';
import { tablesOf } from '../config/tables.js';
import { formatDuration } from '../config/units.js';
import { type ErrorCode, PipelineError } from '../errors.js';
import type { PostgresPool } from '../load/connection.js';
import { checkSchema } from '../load/migrate.js';
import { type Finding, checkTarget, targetSpec } from '../load/target.js';
import { outlast } from '../policy.js';
import type { QueueAttributes, QueueClient } from '../source/queue-client.js';
import { queueMissing } from '../source/sqs-errors.js';
import type { Deployment } from './deployment.js';
import { type PipelineQueues, queueServer } from './queues.js';

/** The ledger remembers for longer than the queue does: batches wait on their way, and clocks differ. */
export const LEDGER_MARGIN_MS = 24 * 3_600_000;

/** What a process is about to work with. */
export interface PreflightParts {
  readonly pool: PostgresPool;
  /** Whether this process writes to the targets; those that don't need no right to. */
  readonly loads: boolean;
  readonly pipelines: readonly {
    readonly pipeline: PipelineConfig;
    readonly queues: PipelineQueues;
    /** The queues that it will receive from; none for workers. */
    readonly clients: readonly QueueClient[];
  }[];
  /** Whose tables are looked at; all of `pipelines` unless given. */
  readonly checked?: readonly PipelineConfig[];
}

/** Waits as `preflight` does, for what all pipelines need: the schema, and the queue's server. */
export async function preflightShared(
  deployment: Deployment,
  { pool, pipelines }: Pick<PreflightParts, 'pool' | 'pipelines'>,
  signal: AbortSignal,
): Promise<void> {
  const queues = pipelines.map((each) => ({ ...each, clients: [] }));
  await preflight(deployment, { pool, loads: false, pipelines: queues, checked: [] }, signal);
}

/** Looks once whether one pipeline's table and queue fit. Throws `table_unfit`, `source_unfit`, or an outage. */
export async function checkPipeline(
  deployment: Deployment,
  { pool, loads }: Pick<PreflightParts, 'pool' | 'loads'>,
  { pipeline, clients }: Omit<PreflightParts['pipelines'][number], 'queues'>,
): Promise<void> {
  await checkDatabase(pool, [pipeline], loads ? 'loads' : 'looks');
  for (const client of clients) await checkSource(deployment, pipeline, client);
}

/** Waits as `preflight` does, for one pipeline's table and queue to be there and to fit. */
export async function preflightPipeline(
  deployment: Deployment,
  { pool, loads }: Pick<PreflightParts, 'pool' | 'loads'>,
  one: PreflightParts['pipelines'][number],
  signal: AbortSignal,
): Promise<void> {
  await preflight(deployment, { pool, loads, pipelines: [one] }, signal);
}

/**
 * Sees to it, before a message is received, that everything is there and fits; waits for what is not there yet, up
 * to `startup_timeout`. Throws `schema_outdated`, `table_unfit`, `queue_unfit`, `source_unfit`, or the outage that
 * outlasted the limit.
 */
export async function preflight(
  deployment: Deployment,
  parts: PreflightParts,
  signal: AbortSignal,
): Promise<void> {
  const pipelines = parts.checked ?? parts.pipelines.map(({ pipeline }) => pipeline);
  const ended = new AbortController();
  const wait = waiting(deployment, AbortSignal.any([signal, ended.signal]));
  const queueAway =
    deployment.config.queue.backend === 'redis' ? 'redis_unavailable' : 'postgres_unavailable';
  try {
    await Promise.all([
      wait('Postgres', 'postgres_unavailable', () =>
        checkDatabase(parts.pool, pipelines, parts.loads ? 'loads' : 'looks'),
      ),
      wait('the queue server', queueAway, () => checkQueues(deployment, parts.pipelines)),
      ...parts.pipelines.flatMap(({ pipeline, clients }) =>
        clients.map(async (client) => {
          const attributes = await wait(`SQS queue ${client.queue}`, 'sqs_unavailable', () =>
            checkSource(deployment, pipeline, client),
          );
          for (const warning of sourceWarnings(pipeline, client.queue, attributes)) {
            deployment.log.warn({ event: 'source_warning', pipeline: pipeline.name }, warning);
          }
        }),
      ),
    ]);
  } finally {
    // One that found something unfit ends the waits of the others: what they wait with is closed next.
    ended.abort();
  }
}

/**
 * Tries until it works, and says once what it waits for. Throws the last outage when the limit has passed, also while a
 * try is under way: what accepts connections and never answers could make one last for long.
 */
function waiting({ config, clock, log, onWait }: Deployment, signal: AbortSignal) {
  return async <T>(what: string, away: ErrorCode, work: () => Promise<T>): Promise<T> => {
    let isSaid = false;
    let last: unknown = new PipelineError(away, `${what} accepts connections and does not answer`);
    const done = new AbortController();
    const tooLate = async (): Promise<never> => {
      await clock.sleep(config.startupTimeoutMs, AbortSignal.any([signal, done.signal]));
      throw last;
    };
    const say = (error: unknown): void => {
      if (!isSaid) log.info({ event: 'waiting' }, `waiting for ${what}`);
      isSaid = true;
      last = error;
      onWait(error);
    };
    try {
      const working = outlast(clock, work, signal, say, config.startupTimeoutMs);
      return await Promise.race([working, tooLate()]);
    } catch (error) {
      throw signal.aborted ? new PipelineError('canceled', `stopped while waiting for ${what}`) : error;
    } finally {
      done.abort();
    }
  };
}

/** Throws `schema_outdated`, or `table_unfit` with all that is wrong with all tables. */
export async function checkDatabase(
  pool: PostgresPool,
  pipelines: readonly PipelineConfig[],
  user: 'loads' | 'looks',
): Promise<void> {
  await checkSchema(pool);
  const errors: string[] = [];
  for (const pipeline of pipelines) {
    for (const table of tablesOf(pipeline)) {
      const findings = await checkTarget(pool, targetSpec(table, table.target), user);
      const wrong = findings.filter(({ severity }) => severity === 'error');
      errors.push(...wrong.map((finding) => describeFinding(pipeline.name, finding)));
    }
  }
  if (errors.length > 0) throw new PipelineError('table_unfit', errors.join('\n'));
}

/** Throws `queue_unfit`, `schema_outdated` (BullMQ's on Postgres), or that the queue's server is away. */
export async function checkQueues(
  { config, log }: Pick<Deployment, 'config' | 'log'>,
  pipelines: readonly { readonly queues: PipelineQueues }[],
): Promise<void> {
  if (config.queue.backend === 'postgres') {
    const { warnings } = parsePostgresUrl(config.queue.url.reveal(), config.queue.tls);
    for (const warning of warnings) log.warn({ event: 'queue_warning' }, `queue: ${warning}`);
  }
  if (config.queue.backend === 'redis') {
    const { checkRedis } = await import('../queue/bullmq-check.js');
    const { warnings } = await checkRedis(queueServer(config));
    for (const warning of warnings) log.warn({ event: 'queue_warning' }, warning);
  }
  await Promise.all(pipelines.map(({ queues }) => queues.transformQueue.backlog()));
}

/** A finding as a line of text. */
function describeFinding(pipeline: string, finding: Finding): string {
  return `pipeline ${pipeline}: ${finding.message}`;
}

/** Throws `sqs_unavailable` while the queue can't be reached or isn't there, `source_unfit` when it doesn't fit. */
export async function checkSource(
  { config }: Pick<Deployment, 'config'>,
  pipeline: PipelineConfig,
  client: QueueClient,
): Promise<QueueAttributes> {
  const attributes = await client.attributes();
  if (attributes === null) throw queueMissing(client.queue);
  if (attributes.retentionS * 1_000 + LEDGER_MARGIN_MS > config.retention.ledgerMs) {
    throw new PipelineError(
      'source_unfit',
      `pipeline ${pipeline.name}: queue ${client.queue} keeps messages for ${formatDuration(attributes.retentionS * 1_000)}, ` +
        `and retention.ledger is ${formatDuration(config.retention.ledgerMs)}: a message could be loaded twice. ` +
        'Make the ledger keep its entries for a day longer than the queue keeps messages',
    );
  }
  // What of dead letters is rejected again stays where it is.
  const isLast = pipeline.source.sqs.queues.some(({ deadLettersOf }) => deadLettersOf !== undefined);
  if (pipeline.policy.onReject === 'dlq' && attributes.redrive === null && !isLast) {
    throw new PipelineError(
      'source_unfit',
      `pipeline ${pipeline.name}: on_reject is dlq, but queue ${client.queue} has no redrive policy: ` +
        'give it one, or set on_reject: quarantine',
    );
  }
  return attributes;
}

/** What is doubtful about a queue for this pipeline, a sentence each. */
export function sourceWarnings(
  { fifo }: Pick<PipelineConfig, 'fifo'>,
  queue: string,
  { redrive }: Pick<QueueAttributes, 'redrive'>,
): readonly string[] {
  if (fifo !== 'block' || redrive === null) return [];
  return [
    `queue ${queue} has a redrive policy, and fifo is block: after ${redrive.maxReceiveCount} receives a message ` +
      'that holds its group goes to the dead-letter queue, with those that were received with it as often, and the ' +
      'group goes on without them: remove the policy to keep the order, or raise maxReceiveCount',
  ];
}
