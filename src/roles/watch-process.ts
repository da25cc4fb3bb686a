import type { PipelineConfig } from '../config/config.js';
import { userOf } from './database.js';
import type { Deployment } from './deployment.js';
import { type Watch, startWatch } from './watch.js';
import { freshAnswers } from './watch-answers.js';
import { startWatchdog } from './watchdog.js';

/** Watches the loops of a role's process, and its event loop, until stopped. */
export function watchProcess(
  deployment: Deployment,
  { role, pipelines }: { readonly role: string; readonly pipelines: readonly PipelineConfig[] },
): Watch {
  const { loops, log, clock } = deployment;
  const answers = freshAnswers(deployment, { user: userOf(role), pipelines });
  const watch = startWatch({ loops, answers, log, clock });
  const watchdog = startWatchdog({ role });
  return {
    hung: watch.hung,
    stop: async () => {
      await Promise.all([watch.stop(), watchdog.stop()]);
    },
  };
}
