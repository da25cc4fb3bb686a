// How soon a message that comes alone is a row.

import { setTimeout as sleep } from 'node:timers/promises';
import { loginEvents, seededRandom } from '../../embedded/login-events.js';
import type { Releases } from '../../lifecycle.js';
import { createPool } from '../../load/connection.js';
import { createSqsSender } from '../../source/sqs-sender.js';
import { profilerArgs, runCommand, startRole } from './cli-process.js';
import { until } from './drained.js';
import { type Figures, spreadOf } from './figures.js';
import type { RunOptions } from './profiles.js';
import { startStack } from './stack.js';

const SEED = 1;
/** Between two messages: longer than a batch lingers, so that each comes after a quiet time. */
const GAP_MS = 1_100;
const GAP_STEPS = 5;
const GAP_STEP_MS = 80;

/** From SentTimestamp to the insert of the batch's fate, by the clock of Postgres, with all roles in one process. */
export async function measureLatency(releases: Releases, options: RunOptions): Promise<Figures> {
  const { messages, run, cpuProfileDir, searchPath, signal } = options;
  const stack = await startStack(releases, { messages: 0, searchPath, settings: { schedule: 'continuous' } });
  await runCommand(stack, 'migrate');
  const pool = await releases.acquire(
    createPool({ url: stack.databaseUrl, applicationName: 'maskline-bench', max: 1 }),
    (open) => open.close(),
  );
  const all = await startRole(stack, releases, 'all', profilerArgs(cpuProfileDir, `all-${run}`));
  const { region, endpoint } = stack.sqs;
  const sender = await releases.acquire(createSqsSender(stack.queueUrl, { region, endpoint }), (open) =>
    open.close(),
  );
  for (const [n, event] of [...loginEvents(messages, seededRandom(SEED))].entries()) {
    await Promise.race([sender.send([JSON.stringify(event)]), all.failed]);
    await sleep(GAP_MS + (n % GAP_STEPS) * GAP_STEP_MS, undefined, { signal });
  }
  const loaded = async (): Promise<readonly number[]> => {
    const { rows } = await pool.query<{ ms: number }>(
      `select extract(epoch from loaded_at - oldest_sent_at)::float8 * 1000 as ms
         from maskline.loads where state = 'committed' order by ms`,
    );
    return rows.map(({ ms }) => ms);
  };
  await until(async () => (await loaded()).length >= messages, { messages, processes: [all], signal });
  const times = await loaded();
  const { median, max } = spreadOf(times);
  return { median_ms: median, p95_ms: times[Math.ceil(times.length * 0.95) - 1] ?? max, most_ms: max };
}
