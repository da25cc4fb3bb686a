import type { PipelineConfig, QueueConfig } from '../config/config.js';

/** One of a pipeline's queues, as people read of it in lists of what a process works with. */
export interface LabelledQueue {
  readonly label: string;
  readonly queue: QueueConfig;
}

/** A pipeline's queues: each is called by the pipeline's name, and by its own besides where there are several. */
export function labelledQueues({
  name,
  source: { sqs },
}: Pick<PipelineConfig, 'name' | 'source'>): readonly LabelledQueue[] {
  return sqs.queues.map((queue) => ({
    label: sqs.queues.length === 1 ? name : `${name} ${queue.queue}`,
    queue,
  }));
}
