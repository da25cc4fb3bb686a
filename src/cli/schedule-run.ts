import type { PipelineConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import { runService } from '../lifecycle.js';
import { checkSchema } from '../load/migrate.js';
import { createScheduleLog } from '../load/schedules.js';
import { type Deployment, selectPipelines } from '../roles/deployment.js';
import { STOP_DEADLINE_MS } from '../roles/role.js';
import { pausedUntil } from '../roles/slots.js';
import type { CliContext, Command } from './context.js';
import { withPool } from './database.js';
import { openDeployment } from './deployment.js';
import { startDrain } from './drain.js';
import { exitCode, exitCodeOf } from './exit.js';
import { reportLifecycle } from './lifecycle-report.js';
import { isoTime } from './report.js';

/** `schedule run`: what the schedule would start, now and in this process; a pause and an open breaker hold it too. */
export const scheduleRun: Command<{ readonly args: readonly string[] }> = async (context, { args }) => {
  const deployment = openDeployment(context, 'schedule-run');
  const names = [...args, ...context.pipelines];
  if (names.length === 0) throw new PipelineError('usage', 'name the pipelines that are to run');
  const pipelines = selectPipelines(deployment.config, names);
  if (!(await begin(context, deployment, pipelines))) return exitCode.failed;
  return runService({
    start: (up) => startDrain(context, deployment, { pipelines, trigger: 'manual', timeoutMs: null }, up),
    deadlineMs: STOP_DEADLINE_MS,
    exitCodeOf,
    exitCodeOnSignal: exitCode.failed,
    report: reportLifecycle(context, deployment.log),
  });
};

/** Notes the start of all, unless one of them may not run: then it says how to let it, and none begins. */
async function begin(
  { out }: CliContext,
  deployment: Deployment,
  pipelines: readonly PipelineConfig[],
): Promise<boolean> {
  return withPool(deployment, 'cli', async (pool) => {
    await checkSchema(pool);
    const log = createScheduleLog(pool);
    const held = (await log.readAll(pipelines.map(({ name }) => name))).filter(
      ({ schedule, breaker }) => schedule.pausedAt !== null || breaker.state === 'open',
    );
    const now = deployment.clock.now();
    const resting = pipelines.flatMap(({ name, schedule }) => {
      const until = schedule && pausedUntil(schedule, now);
      return until === null ? [] : [{ name, until }];
    });
    for (const { name, until } of resting) {
      const next = `nothing was run. It goes on at ${isoTime(until)}; \`maskline drain ${name}\` does not wait for that.`;
      out.note(`${name}: its schedule has a pause now; ${next}`);
    }
    for (const { schedule, breaker } of held) {
      const { pipeline } = schedule;
      const why =
        breaker.state === 'open'
          ? `its breaker is open (${breaker.reason ?? 'no reason given'})`
          : `it is paused (${schedule.reason ?? 'no reason given'})`;
      out.note(`${pipeline}: ${why}; nothing was run. First \`maskline schedule resume ${pipeline}\`.`);
    }
    if (held.length + resting.length > 0) return false;
    for (const { name } of pipelines) await log.started(name, now);
    return true;
  });
}
