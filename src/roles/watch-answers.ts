import type { PipelineConfig, QueueConfig } from '../config/config.js';
import { createPool } from '../load/connection.js';
import { attempt } from '../ops/attempt.js';
import { actionFor } from '../policy.js';
import { createSqsClient } from '../source/sqs.js';
import { queueMissing } from '../source/sqs-errors.js';
import { type PoolUser, openPool } from './database.js';
import type { Deployment } from './deployment.js';
import { labelledQueues } from './queue-labels.js';
import { queueServer } from './queues.js';
import type { Need } from './watch.js';

/** For a connection and one answer. What takes longer is as good as away. */
const LIMIT_MS = 10_000;
const CONNECT_LIMIT_MS = 5_000;
const APPLICATION_NAME = 'maskline-watch';

/** Whether something answers over a connection that is made for this one question, and closed after it. */
export function freshAnswers(
  deployment: Pick<Deployment, 'config'>,
  { user, pipelines }: { readonly user: PoolUser; readonly pipelines: readonly PipelineConfig[] },
): (need: Need) => Promise<boolean> {
  const asks = new Map<Need, () => Promise<unknown>>([
    ['postgres', () => askPostgres(deployment, user)],
    ['queue', () => askQueue(deployment)],
    ...pipelines
      .flatMap(labelledQueues)
      .map(({ label, queue }) => [`sqs ${label}`, () => askSqs(queue)] as const),
  ]);
  return async (need) => {
    const ask = asks.get(need) ?? (() => Promise.resolve());
    const answer = await attempt(() => unlessRefused(ask), LIMIT_MS);
    return answer.ok;
  };
}

/** Who refuses has answered. */
async function unlessRefused(ask: () => Promise<unknown>): Promise<void> {
  try {
    await ask();
  } catch (error) {
    if (actionFor(error) === 'wait') throw error;
  }
}

async function askPostgres(deployment: Pick<Deployment, 'config'>, user: PoolUser): Promise<void> {
  const pool = openPool(deployment, user, APPLICATION_NAME, { max: 1, connectTimeoutMs: CONNECT_LIMIT_MS });
  try {
    await pool.query('select 1');
  } finally {
    await pool.close();
  }
}

async function askQueue({ config }: Pick<Deployment, 'config'>): Promise<void> {
  const { backend } = config.queue;
  if (backend === 'redis') {
    const { checkRedis } = await import('../queue/bullmq-check.js');
    await checkRedis(queueServer(config));
  }
  if (backend !== 'postgres') return;
  const { url, tls = null } = queueServer(config);
  const limits = { max: 1, connectTimeoutMs: CONNECT_LIMIT_MS };
  const pool = createPool({ url, tls, applicationName: APPLICATION_NAME, ...limits });
  try {
    await pool.query('select 1');
  } finally {
    await pool.close();
  }
}

async function askSqs(queue: QueueConfig): Promise<void> {
  const client = createSqsClient({ ...queue, receivers: 1 });
  try {
    // None is there, or not yet: whoever waits for it waits with reason.
    if ((await client.attributes()) === null) throw queueMissing(client.queue);
  } finally {
    client.close();
  }
}
