// Batches that failed, in the queues of a deployment: made as workers make them, without waiting for one that does.

import { uuidv7 } from 'uuidv7';
import type { Batch, MaskedBatch } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import type { PipelineConfig } from '../../src/config/config.js';
import { loadConfig } from '../../src/config/load.js';
import { type ErrorCode, PipelineError } from '../../src/errors.js';
import { kekFromFile } from '../../src/masking/kek.js';
import { type Keyring, loadKeyring } from '../../src/masking/keyring.js';
import { compileMasker } from '../../src/masking/mask.js';
import { PayloadSealer } from '../../src/masking/seal.js';
import { createLogger } from '../../src/ops/logger.js';
import type { BatchQueue } from '../../src/queue/queue.js';
import { createDeployment } from '../../src/roles/deployment.js';
import { readEnvironment } from '../../src/roles/environment.js';
import { type PipelineQueues, openQueues } from '../../src/roles/queues.js';
import { eventually } from './queue.js';
import { type Deployment, PIPELINE } from './stack.js';

/** What is to fail, and how. */
export interface FailureOptions {
  readonly bodies: readonly string[];
  readonly stage?: 'transform' | 'load';
  /** Of one that fails a batch at its first attempt. */
  readonly code?: ErrorCode;
  /** When its messages were sent, in epoch ms; default: now. */
  readonly sentAt?: number;
  /** Of its messages; default: new ones. */
  readonly ids?: readonly string[];
}

/** The inside of a deployment, in this process. */
export function insideOf(deployment: Deployment): {
  readonly inside: ReturnType<typeof createDeployment>;
  readonly keyring: Keyring;
  readonly pipeline: PipelineConfig;
} {
  const config = loadConfig({ file: deployment.configFile, env: deployment.environment });
  const [pipeline] = config.pipelines;
  if (!pipeline) throw new TypeError('the deployment has no pipeline');
  const keyring = loadKeyring(deployment.keyringFile, kekFromFile(deployment.kekFile));
  const log = createLogger({ level: 'silent', pretty: false });
  const inside = createDeployment(config, readEnvironment({ ...deployment.environment }), log);
  return { inside, keyring, pipeline };
}

/** Puts a batch into the queue of its stage and lets it fail there for good; its id. */
export async function failBatch(deployment: Deployment, options: FailureOptions): Promise<string> {
  const { inside, keyring } = insideOf(deployment);
  const queues = await openQueues(inside, new PayloadSealer(keyring), PIPELINE);
  try {
    return await failIn(deployment, queues, options);
  } finally {
    await Promise.all([queues.transformQueue.close(), queues.loadQueue.close()]);
  }
}

/** The same in queues that are open. */
export async function failIn(
  deployment: Deployment,
  { transformQueue, loadQueue }: Pick<PipelineQueues, 'transformQueue' | 'loadQueue'>,
  options: FailureOptions,
): Promise<string> {
  const { bodies, stage = 'load', code = 'row_count_differs', sentAt = Date.now() } = options;
  const { ids = bodies.map(() => uuidv7()) } = options;
  const batch: Batch = {
    batchId: uuidv7(),
    runId: uuidv7(),
    pipeline: PIPELINE,
    messages: ids.map((messageId) => ({ messageId, sentAt, receivedAt: Date.now(), attributes: {} })),
    records: bodies.map((body, message) => ({ id: ids[message] ?? '', message, body })),
  };
  if (stage === 'transform') await fail(transformQueue, batch, code);
  else {
    const { keyring, pipeline } = insideOf(deployment);
    await fail(loadQueue, compileMasker(pipeline.policy, keyring, systemClock).mask(batch).masked, code);
  }
  return batch.batchId;
}

async function fail<T extends Batch | MaskedBatch>(
  queue: BatchQueue<T>,
  batch: T,
  code: ErrorCode,
): Promise<void> {
  await queue.add(batch);
  const worker = queue.process(
    async () => {
      throw new PipelineError(code, 'made to fail by the test');
    },
    { concurrency: 1 },
  );
  await eventually(
    () => queue.states([batch.batchId]),
    ([state]) => state === 'failed',
  );
  await worker.stop();
}
