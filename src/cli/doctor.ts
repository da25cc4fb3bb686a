import { durationMs } from '../config/units.js';
import { type Diagnosis, checksExcept, diagnose } from '../doctor/diagnosis.js';
import { lookAround, unreadVariables } from '../doctor/host.js';
import { PipelineError } from '../errors.js';
import { Releases } from '../lifecycle.js';
import { type Deployment, selectPipelines } from '../roles/deployment.js';
import type { CliContext, Command } from './context.js';
import { openDeployment } from './deployment.js';
import { diagnosisText } from './doctor-text.js';
import { exitCode } from './exit.js';

interface DoctorOptions {
  readonly pm2?: string;
  readonly grace?: string;
  readonly except?: readonly string[];
}

/** `doctor`: what is wrong here, and the remedy of each. Looks at everything that it can reach, whatever is away. */
export const doctorCommand: Command<DoctorOptions> = async (context, { pm2 = null, grace, except = [] }) => {
  const made = checksExcept(except);
  const graceMs = grace === undefined ? null : durationMs(grace);
  if (grace !== undefined && graceMs === null) {
    throw new PipelineError('usage', '--grace must be a duration, such as 30s');
  }
  const deployment = openQuietly(context);
  const pipelines = selectPipelines(deployment.config, context.pipelines);
  const host = await lookAround(deployment, { directory: process.cwd(), pm2File: pm2, graceMs });
  const releases = new Releases();
  let diagnosis: Diagnosis;
  try {
    diagnosis = await diagnose(deployment, pipelines, { host, made, releases });
  } finally {
    await releases.release();
  }
  context.out.result(
    { ...diagnosis, findings: diagnosis.findings.map((finding) => ({ ...finding })) },
    diagnosisText(diagnosis),
  );
  return diagnosis.ok ? exitCode.ok : exitCode.failed;
};

/** What it looks at is no news for a log. Says on stderr when the file may be unfit for want of what `.env` has. */
function openQuietly(context: CliContext): Deployment {
  try {
    return openDeployment({ ...context, logLevel: 'silent' }, 'doctor');
  } catch (error) {
    const unread = unreadVariables(process.cwd(), context.environment);
    if (unread.length > 0) {
      context.out.note(`.env sets ${unread.join(', ')}, and is not read: set -a; . ./.env; set +a`);
    }
    throw error;
  }
}
