import type { PipelineConfig } from '../config/config.js';
import type { Releases } from '../lifecycle.js';
import { ObjectReader } from '../source/object-reader.js';
import type { Pointers } from '../source/parts.js';
import type { Deployment } from './deployment.js';
import { sourceEvents } from './source-events.js';

/** What follows a pipeline's messages to S3, whose SDK is loaded only where it is needed; null: nothing does. */
export async function openPointers(
  deployment: Deployment,
  releases: Releases,
  { name, source, batch }: PipelineConfig,
): Promise<Pointers | null> {
  if (source.s3 === null) return null;
  const { createS3Store } = await import('../source/s3.js');
  const store = await releases.acquire(createS3Store(source.s3), (open) => open.close());
  return new ObjectReader({
    store,
    clock: deployment.clock,
    opening: source.opening,
    maxRecords: batch.maxMessages,
    maxBytes: batch.maxBytes,
    onEvent: sourceEvents(deployment, name),
  });
}
