import { PipelineError } from '../errors.js';
import { runService } from '../lifecycle.js';
import { selectPipelines } from '../roles/deployment.js';
import { STOP_DEADLINE_MS, roles, startRole } from '../roles/role.js';
import type { Command } from './context.js';
import { openDeployment } from './deployment.js';
import { exitCode, exitCodeOf } from './exit.js';
import { reportLifecycle } from './lifecycle-report.js';

/** `run`: a role, until told to stop. Tells a process manager when it is ready. */
export const run: Command<{ readonly args: readonly string[]; readonly jobs?: number }> = async (
  context,
  { args, jobs },
) => {
  const role = roles.find((known) => known === (args[0] ?? 'all'));
  if (role === undefined) throw new PipelineError('usage', `the role must be one of ${roles.join(', ')}`);
  const deployment = openDeployment(context, role);
  const pipelines = selectPipelines(deployment.config, context.pipelines);
  return runService({
    start: async (up) => {
      const started = await startRole(deployment, { role, pipelines, jobs: jobs ?? null }, up);
      process.send?.('ready');
      return started;
    },
    deadlineMs: STOP_DEADLINE_MS,
    exitCodeOf,
    exitCodeOnSignal: exitCode.ok,
    report: reportLifecycle(context, deployment.log),
  });
};
