import { checkSchema } from '../load/migrate.js';
import { createScheduleLog } from '../load/schedules.js';
import { selectPipelines } from '../roles/deployment.js';
import type { CliContext, Command } from './context.js';
import { withPool } from './database.js';
import { openDeployment } from './deployment.js';
import { exitCode } from './exit.js';

/** `schedule pause`: no tick starts until `resume`; a run under way finishes, and `drain` still works. */
export const schedulePause: Command<{ readonly args: readonly string[]; readonly reason?: string }> = async (
  context,
  { args, reason },
) => steer(context, args, 'paused', (log, pipeline) => log.pause(pipeline, reason ?? null));

/** `schedule resume`: ends a pause and closes the breaker. */
export const scheduleResume: Command<{ readonly args: readonly string[] }> = async (context, { args }) =>
  steer(context, args, 'resumed', (log, pipeline) => log.resume(pipeline));

async function steer(
  context: CliContext,
  names: readonly string[],
  state: string,
  act: (log: ReturnType<typeof createScheduleLog>, pipeline: string) => Promise<void>,
): Promise<number> {
  const deployment = openDeployment(context, 'cli');
  const pipelines = selectPipelines(deployment.config, names);
  await withPool(deployment, 'cli', async (pool) => {
    await checkSchema(pool);
    const log = createScheduleLog(pool);
    for (const { name } of pipelines) await act(log, name);
  });
  for (const { name } of pipelines) context.out.result({ pipeline: name, state }, `${name}: ${state}`);
  return exitCode.ok;
}
