import type { PipelineConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import { type Releases, type Started, untilStopped } from '../lifecycle.js';
import { isLoopback } from '../ops/access.js';
import { findKeys } from './admin-keys.js';
import { serveAdmin } from './admin-server.js';
import { openPool } from './database.js';
import type { Deployment } from './deployment.js';
import { type Endpoint, endpointOf } from './endpoint.js';
import { startMaintenance } from './maintenance.js';
import { startPresence } from './presence.js';
import { watchedPool } from './watch-ports.js';
import { watchProcess } from './watch-process.js';
import { openStatusParts } from './status-parts.js';

/**
 * Brings the admin role up: the pages, and the daily maintenance. It needs no keyring, and waits for nothing: a page that
 * tells what is away is worth most while something is. Throws `config_invalid` when it can't or may not listen.
 */
export async function startAdmin(
  deployment: Deployment,
  pipelines: readonly PipelineConfig[],
  { releases }: { readonly releases: Releases },
): Promise<Started> {
  const endpoint = endpointOf(deployment, 'admin');
  if (endpoint === null) throw new TypeError('the admin role has an endpoint');
  requireCredentials(deployment, endpoint);
  const pool = await releases.acquire(
    watchedPool(deployment.loops, openPool(deployment, 'admin', 'maskline-admin')),
    (open) => open.close(),
  );
  const status = await openStatusParts(deployment, pipelines, { pool, releases });
  const checks = status.pipelines.map(
    ({ pipeline, queues }) =>
      [`queue ${pipeline.name}`, async () => queues?.transformQueue.backlog()] as const,
  );
  const server = await serveAdmin(deployment, endpoint, {
    pool,
    status,
    pipelines: status.pipelines.flatMap(({ pipeline, queues }) => (queues ? [{ pipeline, queues }] : [])),
    keys: findKeys(deployment, releases),
    checks: Object.fromEntries(checks),
    counted: [],
  });
  const names = pipelines.map(({ name }) => name);
  const presence = startPresence(deployment, pool, { role: 'admin', pipelines: names });
  const maintenance = startMaintenance(deployment, pool);
  const watch = watchProcess(deployment, { role: 'admin', pipelines });
  deployment.log.info({ event: 'started', role: 'admin', pipeline: names });
  const { service, stopped } = untilStopped({
    stop: async (mode) => {
      const services = [server, maintenance, presence, watch];
      await Promise.all(services.map((each) => each.stop(mode)));
    },
  });
  return { service, done: stopped, stuck: watch.hung };
}

/** Its pages are not for everybody who can reach the address. */
function requireCredentials({ environment }: Deployment, { host }: Endpoint): void {
  if (isLoopback(host) || environment.credentials !== null) return;
  throw new PipelineError(
    'config_invalid',
    `the admin pages are not served on ${host} without credentials: ` +
      'set MASKLINE_ADMIN_USER and MASKLINE_ADMIN_PASSWORD, or HOST=127.0.0.1',
  );
}
