import type { Releases } from '../../lifecycle.js';
import { createPool } from '../../load/connection.js';
import { profilerArgs, runCommand, startRole } from './cli-process.js';
import { received, until } from './drained.js';
import type { Figures } from './figures.js';
import type { RunOptions } from './profiles.js';
import { startStack } from './stack.js';
import { readUsage } from './usage.js';
import { createScheduleLog } from '../../load/schedules.js';

/** Nothing is worked on, so all that is received is held. */
const HELD = { in_flight: 120_000, in_flight_bytes: '1GiB' };

/** One ingester, and no workers: what it costs to receive, and to put batches into Redis. Nothing is deleted. */
export async function measureIngest(releases: Releases, options: RunOptions): Promise<Figures> {
  const { messages, run, cpuProfileDir, searchPath, signal } = options;
  const stack = await startStack(releases, { messages, searchPath, settings: { limits: HELD } });
  await runCommand(stack, 'migrate');
  const pool = await releases.acquire(
    createPool({ url: stack.databaseUrl, applicationName: 'maskline-bench', max: 1 }),
    (open) => open.close(),
  );
  const schedules = createScheduleLog(pool);
  await schedules.pause(stack.pipeline.name, 'until the ingester is ready');
  const ingest = await startRole(stack, releases, 'ingest', profilerArgs(cpuProfileDir, `ingest-${run}`));
  const before = await readUsage(ingest.pid);
  await schedules.resume(stack.pipeline.name);
  const isDone = async (): Promise<boolean> => (await received(pool)).messages >= messages;
  await until(isDone, { messages, processes: [ingest], signal });
  const after = await readUsage(ingest.pid);
  return {
    ingest_cpu_us_per_message: (after.cpuMicros - before.cpuMicros) / messages,
    ingest_peak_rss_mib: after.peakRssBytes / 2 ** 20,
    ingest_start_up_cpu_ms: before.cpuMicros / 1_000,
  };
}
