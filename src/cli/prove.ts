import type { PipelineConfig } from '../config/config.js';
import { retakeBaselines } from '../load/baseline.js';
import { checkSchema } from '../load/migrate.js';
import { PROOF_STATEMENT_TIMEOUT_MS, type PipelineProof } from '../load/prove.js';
import { ofTheTarget } from '../load/prove-findings.js';
import { type Deployment, selectPipelines } from '../roles/deployment.js';
import { type Proof, proveDeployment } from '../roles/prove.js';
import { confirm } from './confirmation.js';
import type { CliContext, Command } from './context.js';
import { withPool } from './database.js';
import { openDeployment } from './deployment.js';
import { exitCode } from './exit.js';
import { declined } from './failed.js';
import { openProgress } from './progress.js';
import { differencesText, renderProof } from './prove-text.js';
import { readSelection } from './selection.js';

interface ProveOptions {
  readonly args: readonly string[];
  readonly since?: string;
  readonly accept?: boolean;
}

/** `prove`: what maskline has on record, compared with itself and with the target tables. */
export const proveCommand: Command<ProveOptions> = async (context, { args, since, accept = false }) => {
  const deployment = openDeployment(context, 'prove');
  const pipelines = selectPipelines(deployment.config, [...args, ...context.pipelines]);
  const from = readSelection(since === undefined ? {} : { since }, deployment.clock.now()).since;
  const look = (): Promise<Proof> => proveOnce(context, deployment, pipelines, from);
  let proof = await look();
  if (accept) {
    const accepted = await acceptTargets(context, deployment, pipelines, proof);
    if (accepted === 'declined') return declined(context);
    if (accepted === 'accepted') proof = await look();
  }
  context.out.text(context.out.json ? JSON.stringify(proof) : renderProof(proof));
  return proof.ok ? exitCode.ok : exitCode.failed;
};

/** As the operator; says on stderr what it is at while it takes long. */
async function proveOnce(
  { line }: CliContext,
  deployment: Deployment,
  pipelines: readonly PipelineConfig[],
  since: number | null,
): Promise<Proof> {
  const progress = openProgress(line, deployment.log);
  const onStep = (step: string): void => progress.at(step);
  try {
    return await withPool(
      deployment,
      'cli',
      async (pool) => {
        await checkSchema(pool);
        return proveDeployment(pool, deployment.config, pipelines, { since, onStep });
      },
      { statementTimeoutMs: PROOF_STATEMENT_TIMEOUT_MS },
    );
  } finally {
    progress.end();
  }
}

/** Takes the baselines of the tables that differ anew, as their owner, once somebody has seen by how much. */
async function acceptTargets(
  context: CliContext,
  deployment: Deployment,
  pipelines: readonly PipelineConfig[],
  proof: Proof,
): Promise<'none' | 'declined' | 'accepted'> {
  const differing = proof.pipelines.filter(({ totals }) => Object.keys(ofTheTarget(totals)).length > 0);
  if (differing.length === 0) return 'none';
  for (const { pipeline, totals, differences, ...rest } of differing) {
    context.out.note(
      `${pipeline}, table ${tablesOf(rest).join(', ')}: ${differencesText(ofTheTarget(totals))}`,
    );
    for (const { kind, what } of differences) {
      if (kind in ofTheTarget(totals)) context.out.note(`  ${what}`);
    }
  }
  const tables = [...new Set(differing.flatMap(tablesOf))].join(', ');
  const question =
    `What ${tables} holds now is to be taken for right: rows that are missing or too many stay so, and prove will not ` +
    'name them again. Accept that?';
  if (!(await confirm(context, question))) return 'declined';
  const names = new Set(differing.map(({ pipeline }) => pipeline));
  await withPool(
    deployment,
    'migrate',
    async (pool) => {
      for (const pipeline of pipelines) if (names.has(pipeline.name)) await retakeBaselines(pool, pipeline);
    },
    { statementTimeoutMs: PROOF_STATEMENT_TIMEOUT_MS },
  );
  return 'accepted';
}

function tablesOf({ target, checked }: Pick<PipelineProof, 'target' | 'checked'>): readonly string[] {
  return [target, ...(checked.further ?? []).map((table) => table.target)];
}
