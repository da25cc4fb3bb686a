import type { Batch, MaskedBatch } from '../../src/batch.js';
import type { Service } from '../../src/lifecycle.js';
import type { Sink } from '../../src/load/sink.js';
import type { Masker } from '../../src/masking/mask.js';
import { load, transform } from '../../src/pipeline.js';
import type { BatchQueue } from '../../src/queue/queue.js';
import type { Host } from './host.js';

/** What a transform or load worker reaches. */
export interface WorkerParts {
  readonly transformQueue: BatchQueue<Batch>;
  readonly loadQueue: BatchQueue<MaskedBatch>;
  readonly masker: Masker;
  readonly sink: Sink;
}

/** A transform worker: the real function, on a queue of the simulation. */
export function startTransform(host: Host, parts: WorkerParts, concurrency: number): Service {
  const ports = { ...parts, clock: host.clock, onWait: () => undefined };
  return parts.transformQueue.process(
    async (batch, signal) => {
      await transform(ports, batch, signal);
    },
    { concurrency },
  );
}

/** A load worker: likewise. */
export function startLoad(host: Host, parts: WorkerParts, concurrency: number): Service {
  const ports = { ...parts, clock: host.clock, onWait: () => undefined };
  return parts.loadQueue.process(
    async (batch, signal) => {
      await load(ports, batch, signal);
    },
    { concurrency },
  );
}
