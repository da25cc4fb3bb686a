// A transform worker for tests, whose masker is killed by marked bodies.

import { fileURLToPath } from 'node:url';
import { systemClock } from '../../src/clock.js';
import { compileMasker } from '../../src/masking/mask.js';
import { PayloadSealer } from '../../src/masking/seal.js';
import { EventBus } from '../../src/ops/events.js';
import type { Backend } from '../../src/queue/bullmq-errors.js';
import { type BullQueueOptions, createBullQueue } from '../../src/queue/bullmq.js';
import { batchCodec, maskedCodec } from '../../src/queue/payload.js';
import { processProbe } from '../../src/roles/suspect.js';
import { dryVault } from '../../src/masking/vault.js';
import { transformHandler } from '../../src/roles/workers.js';
import { deadly } from './hostile-killer.js';
import { column, policyOf, testKeyring, token } from './masking.js';

/** Where the queues are, and which holders hold. */
export interface WorkerArguments {
  readonly url: string;
  readonly backend: Backend;
  readonly prefix: string;
  readonly holds: readonly string[];
}

/** The pipeline of these tests: an id that is kept and a device that is masked. */
export const KILLED_POLICY = policyOf([
  column('id', { required: true }),
  column('device', { mask: token('siv', { domain: 'device' }) }),
]);

/** All that the two queues of a test have in common; locks run out soon, so that a takeover is quick. */
export function queueOptions({ url, backend, prefix }: Omit<WorkerArguments, 'holds'>) {
  return {
    url,
    backend,
    prefix,
    sealer: new PayloadSealer(testKeyring()),
    clock: systemClock,
    keepFailed: { count: 10, ageS: 60 },
    locks: { lockMs: 600, stalledMs: 200 },
  } satisfies Partial<BullQueueOptions<never>>;
}

/** Serves the transform queue until it is killed. */
function serve({ holds, ...place }: WorkerArguments): void {
  const options = queueOptions(place);
  const transformQueue = createBullQueue({ ...options, name: 'transform.logins', codec: batchCodec });
  const loadQueue = createBullQueue({ ...options, name: 'load.logins', codec: maskedCodec });
  const compiled = compileMasker(KILLED_POLICY, testKeyring(), systemClock);
  const masker = { ...compiled, ...deadly(compiled, holds) };
  const suspect = fileURLToPath(new URL('hostile-suspect.js', import.meta.url));
  const deployment = { clock: systemClock, events: new EventBus(), onWait: () => undefined };
  const probe = processProbe(KILLED_POLICY, suspect);
  const handle = transformHandler(deployment, 'logins', {
    masker,
    vault: dryVault,
    limits: null,
    probe,
    leakGate: null,
    loadQueue,
  });
  transformQueue.process(handle, { concurrency: 2 });
}

const [, script, given] = process.argv;
if (script === fileURLToPath(import.meta.url) && given !== undefined)
  serve(JSON.parse(given) as WorkerArguments);
