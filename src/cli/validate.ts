import { systemClock } from '../clock.js';
import type { Config } from '../config/config.js';
import { checkConfig } from '../config/load.js';
import { type ConfigProblem, formatProblem } from '../config/problem.js';
import { PipelineError, asPipelineError } from '../errors.js';
import { throwawayKeyring } from '../foresight/test-keyring.js';
import { Releases } from '../lifecycle.js';
import { maskOf, placeOf } from '../masking/masks.js';
import { allColumns } from '../masking/parts.js';
import { selectPipelines } from '../roles/deployment.js';
import type { Finding } from '../roles/inspection.js';
import type { CliContext, Command } from './context.js';
import { openDeployment } from './deployment.js';
import { exitCode, exitCodeOf } from './exit.js';
import { type StrengthReport, reportStrength, strengthRow, strengthText } from './strength-text.js';

interface ValidateOptions {
  readonly connect?: boolean;
  readonly strict?: boolean;
  readonly sample?: string;
}

/** `validate`: the file alone; with `--connect` also what it names. What it finds goes to stdout, and how strong the masks are. */
export const validate: Command<ValidateOptions> = async (
  context,
  { connect = false, strict = false, sample },
) => {
  const { config, problems } = checkConfig({ file: context.configFile, env: context.environment.variables });
  const maskers = config === null ? [] : customFindings(context, config);
  const findings =
    connect && config !== null ? [...maskers, ...(await inspectAll(context, config))] : maskers;
  print(context, problems, findings);
  if (config !== null && maskers.length === 0)
    printStrength(context, await reportStrength(context, config, sample));
  const found = [...problems, ...findings];
  if (findings.some(isUnreachable) && !problems.some(isError)) return exitCode.unreachable;
  return found.some((one) => strict || isError(one)) ? exitCode.unfit : exitCode.ok;
};

/** Starts each custom mask, as a worker would, and says why it can't be. */
function customFindings(context: CliContext, config: Config): readonly Finding[] {
  const keyring = throwawayKeyring(systemClock.now());
  return selectPipelines(config, context.pipelines).flatMap(({ name, policy }) =>
    allColumns(policy)
      .filter(({ mask }) => mask.method === 'custom')
      .flatMap((column): readonly Finding[] => {
        try {
          maskOf(column, keyring, undefined, placeOf(policy));
          return [];
        } catch (thrown) {
          const { code, message } = asPipelineError(thrown);
          return [{ severity: 'error', subject: `masks of ${name}`, code, message }];
        }
      }),
  );
}

async function inspectAll(context: CliContext, config: Config): Promise<readonly Finding[]> {
  const { inspect } = await import('../roles/inspection.js');
  const releases = new Releases();
  try {
    const deployment = openDeployment(context, 'validate', config);
    return await inspect(deployment, selectPipelines(config, context.pipelines), releases);
  } finally {
    await releases.release();
  }
}

function printStrength({ out }: CliContext, report: StrengthReport): void {
  out.text(out.json ? JSON.stringify(strengthRow(report)) : `\n${strengthText(report)}`);
}

function isError({ severity }: { readonly severity: 'error' | 'warning' }): boolean {
  return severity === 'error';
}

function isUnreachable({ code, message }: Finding): boolean {
  return code !== null && exitCodeOf(new PipelineError(code, message)) === exitCode.unreachable;
}

function print(
  { out, configFile }: CliContext,
  problems: readonly ConfigProblem[],
  findings: readonly Finding[],
): void {
  if (out.json) {
    for (const one of [...problems, ...findings]) out.text(JSON.stringify(one));
    return;
  }
  for (const problem of problems) out.text(`${problem.severity}: ${formatProblem(problem)}`);
  for (const { severity, subject, message } of findings) out.text(`${severity}: ${subject}: ${message}`);
  const all = [...problems, ...findings];
  const warnings = all.filter((one) => !isError(one)).length;
  if (warnings === all.length)
    out.text(`${configFile} is valid${warnings > 0 ? ` (${warnings} warnings)` : ''}.`);
}
