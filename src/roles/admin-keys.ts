import { PipelineError, asPipelineError } from '../errors.js';
import type { Releases } from '../lifecycle.js';
import type { Keyring } from '../masking/keyring.js';
import { PayloadSealer } from '../masking/seal.js';
import type { Deployment } from './deployment.js';
import { openKeyring } from './keyring.js';
import { type PipelineQueues, openQueues } from './queues.js';

/** What an admin process can open and seal. */
export interface AdminKeys {
  /** Null: it has no keys, as is usual for a process of its own. */
  readonly keyring: () => Keyring | null;
  /** The queues of a pipeline, that open and seal. Throws `key_unavailable` without keys. */
  readonly queues: (pipeline: string) => Promise<Pick<PipelineQueues, 'transformQueue' | 'loadQueue'>>;
}

/**
 * Looks whether this process has a keyring and its KEK, where actions are allowed that could use them; without, it works
 * all the same. Nothing waits for the answer, which AWS KMS may take a while to give.
 */
export function findKeys(deployment: Deployment, releases: Releases): AdminKeys {
  const { config, log } = deployment;
  let found: Keyring | null = null;
  const opened = new Map<string, Promise<PipelineQueues>>();
  if (config.admin.allowActions) {
    openKeyring(deployment).then(
      (keyring) => (found = keyring),
      (error: unknown) =>
        log.info(
          { event: 'no_keys', code: asPipelineError(error).code },
          'retry and replay are not offered here, only their commands',
        ),
    );
  }
  return {
    keyring: () => found,
    queues: (pipeline) => {
      const known = opened.get(pipeline);
      if (known) return known;
      if (found === null)
        return Promise.reject(new PipelineError('key_unavailable', 'this process has no keys'));
      const queues = openQueues(deployment, new PayloadSealer(found), pipeline).then((open) =>
        releases.acquire(open, ({ transformQueue, loadQueue }) =>
          Promise.all([transformQueue.close(), loadQueue.close()]),
        ),
      );
      opened.set(pipeline, queues);
      return queues;
    },
  };
}
