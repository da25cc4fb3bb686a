import pc from 'picocolors';
import type { Difference } from '../load/prove-findings.js';
import type { PipelineProof } from '../load/prove.js';
import type { Proof } from '../roles/prove.js';

/** Of each kind so many are shown on a terminal; `--json` has more. */
const SHOWN = 5;

const CHECKS = {
  rows: 'row by row, by message id',
  batches: 'batch by batch',
  count: 'by the number of rows',
} as const;

/** A proof for people: the verdict, then each pipeline with what was looked at, what differs and what could not be told. */
export function renderProof({ ok, differences, pipelines }: Proof): string {
  const verdict = ok ? pc.green('all agrees') : pc.red(counted(differences, 'difference'));
  return [pc.bold(verdict), ...pipelines.map(renderPipeline)].join('\n\n');
}

/** How many of each kind. */
export function differencesText(totals: PipelineProof['totals']): string {
  return Object.entries(totals)
    .map(([kind, count]) => `${kind} ${count}`)
    .join(', ');
}

function renderPipeline({
  pipeline,
  target,
  window,
  checked,
  unchecked,
  totals,
  differences,
}: PipelineProof): string {
  const lines = [
    `${pc.bold(pipeline)} ${pc.dim('→')} ${target}`,
    `  from ${window.from} to ${window.to}`,
    `  ${counted(checked.runs, 'run')}, ${counted(checked.batches, 'batch', 'batches')}, ` +
      `${counted(checked.ledger_entries, 'ledger entry', 'ledger entries')}, ` +
      counted(checked.quarantine_entries, 'quarantine entry', 'quarantine entries'),
    `  target: ${howText(checked)}`,
    ...(checked.further ?? []).map((table) => `  ${table.target}: ${howText(table)}`),
  ];
  for (const [kind, total] of Object.entries(totals)) {
    const shown = differences.filter((one) => one.kind === kind).slice(0, SHOWN);
    lines.push(...renderKind(shown, total));
  }
  for (const { what, count, why } of unchecked)
    lines.push(`  ${pc.dim(`not checked: ${what} ${count}: ${why}`)}`);
  return lines.join('\n');
}

/** How many rows there are, and how they were looked at. */
function howText({
  target_rows: rows,
  target_check: check,
}: Pick<PipelineProof['checked'], 'target_rows' | 'target_check'>): string {
  return `${rows === null ? '' : `${counted(rows, 'row')}, `}${check === null ? 'not looked at' : CHECKS[check]}`;
}

function renderKind(shown: readonly Difference[], total: number): readonly string[] {
  const more = total - shown.length;
  return [
    ...shown.map(({ kind, what }) => `  ${pc.red(kind)}: ${what}`),
    ...(more > 0 ? [`  … and ${more} more`] : []),
    ...shown.slice(0, 1).map(({ remedy }) => `    ${pc.bold('→')} ${remedy}`),
  ];
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
