// What passes through the stages, for who looks: it takes nothing, holds nothing up, and misses what is too quick for it.

import type { MaskedBatch } from '../batch.js';
import { Bell } from '../bell.js';
import type { PipelineConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import type { Releases } from '../lifecycle.js';
import type { PostgresPool } from '../load/connection.js';
import { type LoadRow, readLoad } from '../load/runs.js';
import type { Keyring } from '../masking/keyring.js';
import { PayloadSealer } from '../masking/seal.js';
import type { QueueTap } from '../queue/bullmq-tap.js';
import { maskedCodec } from '../queue/payload.js';
import type { Deployment } from './deployment.js';
import { queueServer } from './queues.js';

/** A batch that was seen at a stage; `at` is epoch ms. */
export type Tapped = { readonly pipeline: PipelineConfig; readonly batchId: string; readonly at: number } & (
  | {
      readonly stage: 'ingest';
      readonly payload: { readonly records: number | null; readonly bytes: number | null };
    }
  | { readonly stage: 'transform'; readonly batch: MaskedBatch }
  | { readonly stage: 'load'; readonly load: LoadRow }
);

/** Where to look, and with what. */
export type TapPoint =
  | { readonly stage: 'ingest' }
  | { readonly stage: 'transform'; readonly keyring: Keyring }
  | { readonly stage: 'load'; readonly pool: Pick<PostgresPool, 'query'> };

/** Batches on their way to whoever looks, at most so many: the oldest are left out. */
const MAX_PENDING = 100;

/** What is watched, and what is seen. */
export interface Tap {
  /** Batches as they come, until `signal` aborts. Throws what the queue, the database, or opening a batch throws. */
  batches(signal: AbortSignal): AsyncGenerator<Tapped>;
  /** Batches that came and went before they could be looked at. */
  readonly missed: number;
}

/**
 * Watches one stage of pipelines from now on. Throws `usage` for queues in memory, which no other process can see, and
 * that a queue's server is away.
 */
export async function openTap(
  deployment: Deployment,
  pipelines: readonly PipelineConfig[],
  point: TapPoint,
  releases: Releases,
): Promise<Tap> {
  if (deployment.config.queue.backend === 'memory') {
    throw new PipelineError(
      'usage',
      'queue.url is memory://, where nothing passes between processes that could be looked at: ' +
        'set it to a redis:// or postgres:// URL, or see `maskline runs show RUN` for what was loaded',
    );
  }
  const feed = new Feed(deployment, point);
  await Promise.all(pipelines.map((pipeline) => feed.watch(pipeline, releases)));
  return feed;
}

/** A batch that was heard of. */
interface Heard {
  readonly pipeline: PipelineConfig;
  readonly batchId: string;
  readonly at: number;
}

class Feed implements Tap {
  readonly #deployment: Deployment;
  readonly #point: TapPoint;
  readonly #taps = new Map<string, QueueTap>();
  readonly #bell = new Bell();
  readonly #pending: Heard[] = [];
  #missed = 0;
  #failure: { readonly error: unknown } | null = null;

  constructor(deployment: Deployment, point: TapPoint) {
    this.#deployment = deployment;
    this.#point = point;
  }

  get missed(): number {
    return this.#missed;
  }

  async watch(pipeline: PipelineConfig, releases: Releases): Promise<void> {
    const { config, clock } = this.#deployment;
    const { stage } = this.#point;
    const { backend, prefix } = config.queue;
    if (backend === 'memory') return;
    // BullMQ takes a quarter of a second to load.
    const { openQueueTap } = await import('../queue/bullmq-tap.js');
    const event = stage === 'load' ? 'completed' : 'added';
    const listener = {
      onBatch: (what: 'added' | 'completed', batchId: string) => {
        if (what === event) this.#hear({ pipeline, batchId, at: clock.now() });
      },
      onError: (error: unknown) => {
        this.#failure ??= { error };
        this.#bell.ring();
      },
    };
    // What is received waits to be transformed, and what is transformed waits to be loaded.
    const name = `${stage === 'ingest' ? 'transform' : 'load'}.${pipeline.name}`;
    const tap = await openQueueTap({ ...queueServer(config), backend, prefix, name }, listener);
    this.#taps.set(pipeline.name, await releases.acquire(tap, (one) => one.close()));
  }

  async *batches(signal: AbortSignal): AsyncGenerator<Tapped> {
    while (!signal.aborted) {
      if (this.#failure) throw this.#failure.error;
      const heard = this.#pending.shift();
      if (heard === undefined) {
        await this.#bell.wait(signal);
        continue;
      }
      const seen = await this.#look(heard);
      if (seen) yield seen;
      else this.#missed += 1;
    }
  }

  #hear(heard: Heard): void {
    this.#pending.push(heard);
    if (this.#pending.length > MAX_PENDING) {
      this.#pending.shift();
      this.#missed += 1;
    }
    this.#bell.ring();
  }

  /** Null when it was gone before. */
  async #look(heard: Heard): Promise<Tapped | null> {
    const point = this.#point;
    const { stage } = point;
    if (stage === 'load') {
      const load = await readLoad(point.pool, heard.batchId);
      return load && { ...heard, stage, load };
    }
    const tap = this.#taps.get(heard.pipeline.name);
    if (stage === 'ingest') {
      const head = await tap?.head(heard.batchId);
      return head ? { ...heard, stage, payload: { records: head.n, bytes: head.bytes } } : null;
    }
    const batch = await tap?.open(heard.batchId, maskedCodec, new PayloadSealer(point.keyring));
    return batch ? { ...heard, stage, batch } : null;
  }
}
