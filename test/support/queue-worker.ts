// A worker process for tests: takes batches from a queue, says so on stdout, and never finishes one.

import { systemClock } from '../../src/clock.js';
import { createBullQueue } from '../../src/queue/bullmq.js';
import { batchCodec } from '../../src/queue/payload.js';
import { testSealer } from './queue.js';

const [url = '', prefix = '', name = ''] = process.argv.slice(2);
const backend = url.startsWith('postgres') ? 'postgres' : 'redis';

const queue = createBullQueue({
  url,
  backend,
  prefix,
  name,
  codec: batchCodec,
  sealer: testSealer(),
  clock: systemClock,
  keepFailed: { count: 10, ageS: 60 },
});

queue.process(
  async ({ batchId }) => {
    process.stdout.write(`${batchId}\n`);
    await new Promise(() => undefined);
  },
  { concurrency: 2 },
);
