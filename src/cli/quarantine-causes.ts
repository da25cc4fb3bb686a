import type { PipelineConfig } from '../config/config.js';
import type { QuarantineCause } from '../load/quarantine-entries.js';
import { remedyFor } from '../masking/remedies.js';
import { quarantineCauseId } from './causes.js';
import type { Row } from './output.js';

/** A pipeline, and what it masks by. */
interface NamedPolicy extends Pick<PipelineConfig, 'name'> {
  readonly policy: Pick<PipelineConfig['policy'], 'sha256'>;
}

/** What of a cause fits a terminal. */
export const CAUSE_COLUMNS = [
  ...['cause', 'pipeline', 'code', 'path', 'policy', 'open'],
  ...['oldest_at', 'newest_at', 'sample_id'],
] as const;

/** A cause as lists have it. */
export type CauseRow = Row & {
  readonly cause: string;
  readonly policy: 'today' | 'former' | 'unknown';
  readonly meaning: string;
  readonly remedy: string;
  /** Null when none of its records is open. */
  readonly next: string | null;
};

/** A cause under the names of the interface, with what it means, its remedy, and the command for after that. */
export function causeRow(cause: QuarantineCause, pipelines: readonly NamedPolicy[]): CauseRow {
  const { pipeline, code, path, policy_sha256, open, replayed, oldest_at, newest_at, sample_id } = cause;
  const id = quarantineCauseId(cause);
  return {
    ...{ cause: id, pipeline, code, path, policy_sha256, policy: policyNow(cause, pipelines) },
    ...{ open, replayed, oldest_at, newest_at, sample_id },
    ...remedyFor(code),
    next: open > 0 ? `maskline quarantine replay --cause ${id} --dry-run` : null,
  };
}

/** Whether records would be masked by the same settings now: if not, what rejected them may be mended already. */
function policyNow(
  { pipeline, policy_sha256 }: QuarantineCause,
  pipelines: readonly NamedPolicy[],
): 'today' | 'former' | 'unknown' {
  const now = pipelines.find(({ name }) => name === pipeline)?.policy.sha256;
  if (policy_sha256 === null || now === undefined) return 'unknown';
  return now === policy_sha256 ? 'today' : 'former';
}

/** What to do about each cause, and then the command. */
export function causeSteps(rows: readonly CauseRow[]): string {
  const steps = rows.flatMap(({ cause, meaning, remedy, policy, next }) => {
    if (next === null) return [];
    const changed = policy === 'former' ? 'the masks have changed since, which may do; else ' : '';
    return [`  ${cause}: ${meaning} → ${changed}${remedy}`, `    ${next}`];
  });
  if (steps.length === 0) return 'Nothing in quarantine is open.';
  return ['What to do:', ...steps, '  without --dry-run it loads what would pass.'].join('\n');
}
