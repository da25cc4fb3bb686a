// A role in the process of the test: what child processes would show too, at a small part of their cost.

import { systemClock } from '../../src/clock.js';
import { loadConfig } from '../../src/config/load.js';
import { Releases, type StopMode } from '../../src/lifecycle.js';
import { createLogger } from '../../src/ops/logger.js';
import { createDeployment, selectPipelines } from '../../src/roles/deployment.js';
import { readEnvironment } from '../../src/roles/environment.js';
import { type Role, startRole } from '../../src/roles/role.js';
import type { Json } from './cli.js';
import { Seen } from './queue.js';
import type { Deployment } from './stack.js';

/** A role at work here. */
export interface RoleHere {
  /** Lines of its log, as they come. */
  readonly log: Seen<Json>;
  /** Resolves to the first line of the log about that event. */
  waitFor(event: string): Promise<Json>;
  /** What it ends with by itself. */
  readonly done: Promise<number>;
  stop(mode?: StopMode): Promise<void>;
}

/** Starts it as `owner`; to be stopped in `finally`. Throws what the start throws. */
export async function startHere(
  deployment: Deployment,
  role: Role,
  { owner = 'here', env = {}, clock = systemClock } = {},
): Promise<RoleHere> {
  // The SDK of AWS asks the environment of the process.
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_REGION'])
    process.env[name] = deployment.environment[name];
  const environment = readEnvironment({ ...deployment.environment, ...env });
  const config = loadConfig({ file: deployment.configFile, env: environment.variables });
  const log = new Seen<Json>();
  const logger = createLogger({
    level: 'info',
    pretty: false,
    stream: { write: (line) => log.push(JSON.parse(line) as Json) },
  });
  const releases = new Releases();
  const stopping = new AbortController();
  try {
    const here = { ...createDeployment(config, environment, logger), owner, clock };
    const pipelines = selectPipelines(config, []);
    const started = await startRole(
      here,
      { role, pipelines, jobs: null },
      { signal: stopping.signal, releases },
    );
    const done = started.done ?? new Promise<never>(() => undefined);
    done.catch(() => undefined);
    return {
      log,
      waitFor: async (event) => (await log.take(1, (line) => line['event'] === event, 60_000))[0] ?? {},
      done,
      stop: async (mode) => {
        stopping.abort();
        await started.service.stop(mode);
        await releases.release();
      },
    };
  } catch (error) {
    await releases.release();
    throw error;
  }
}
