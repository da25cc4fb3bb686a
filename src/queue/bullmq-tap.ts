// Looks at the jobs of a queue as they come and go. It takes none: BullMQ tells each reader of its events apart.

import type { Batch, MaskedBatch } from '../batch.js';
import { type BoardPayload, boardJob, isBatchId } from './board.js';
import { type Backend, queueError, within } from './bullmq-errors.js';
import type { JobEvents, JobQueue, Link, LinkOptions, QueueServer } from './bullmq-link.js';
import { postgresLink } from './bullmq-postgres.js';
import { redisLink } from './bullmq-redis.js';
import type { Codec } from './payload.js';
import type { Sealer } from './queue.js';
import { openBatch } from './sealed.js';

/** As long as a producer waits. */
const READY_LIMIT_MS = 5_000;
const ANSWER_LIMIT_MS = 3_000;

/** What is watched. */
export interface QueueTapOptions extends QueueServer {
  readonly backend: Backend;
  readonly prefix: string;
  readonly name: string;
}

/** Who hears of batches. */
export interface TapListener {
  /** A batch was added, or the worker that had it said that it is done. */
  readonly onBatch: (what: 'added' | 'completed', batchId: string) => void;
  /** Nothing more will be heard. */
  readonly onError: (error: unknown) => void;
}

/** A queue under watch. */
export interface QueueTap {
  /** What a batch's payload says of itself; null when its job is gone. Throws `redis_unavailable`, `postgres_unavailable`. */
  head(batchId: string): Promise<BoardPayload | null>;
  /** The batch; null when its job is gone. Throws also what opening it throws: see `openBatch`. */
  open<T extends Batch | MaskedBatch>(batchId: string, codec: Codec<T>, sealer: Sealer): Promise<T | null>;
  close(): Promise<void>;
}

/** Watches a queue from now on. Throws `redis_unavailable`, `postgres_unavailable`, `config_invalid`. */
export async function openQueueTap(
  options: QueueTapOptions,
  { onBatch, onError }: TapListener,
): Promise<QueueTap> {
  const { backend, name } = options;
  let trouble: Error | null = null;
  const open: (how: LinkOptions) => Link = backend === 'redis' ? redisLink : postgresLink;
  const link = open({ ...options, migrate: false, onError: (error) => (trouble = error) });
  const wrap = (doing: string, error: unknown): unknown =>
    queueError(backend, link.place, `${doing} ${name}`, trouble ?? error);
  const heard = (what: 'added' | 'completed') => (args: { readonly jobId: string }) => {
    if (isBatchId(args.jobId)) onBatch(what, args.jobId);
  };
  const queue = link.openQueue();
  const events = link.openEvents();
  events.on('error', (error) => onError(wrap('watching', error)));
  events.on('added', heard('added'));
  events.on('completed', heard('completed'));
  const close = async (): Promise<void> => {
    await Promise.all([closed(events), closed(queue)]);
    link.close();
  };
  try {
    await within(READY_LIMIT_MS, Promise.all([queue.waitUntilReady(), events.waitUntilReady()]));
  } catch (error) {
    await close();
    throw wrap('watching', error);
  }
  const look = async (batchId: string): ReturnType<JobQueue['getJob']> => {
    try {
      return await within(ANSWER_LIMIT_MS, queue.getJob(batchId));
    } catch (error) {
      throw wrap('looking at', error);
    }
  };
  return {
    head: async (batchId) => {
      const job = await look(batchId);
      return job ? boardJob(job, 1).payload : null;
    },
    open: async (batchId, codec, sealer) => {
      const job = await look(batchId);
      return job ? openBatch(codec, sealer, name, batchId, job.data) : null;
    },
    close,
  };
}

/** Nobody waits for long for what only looked. */
async function closed(part: Pick<JobQueue | JobEvents, 'close'>): Promise<void> {
  await within(ANSWER_LIMIT_MS, Promise.resolve(part.close())).catch(() => undefined);
}
