import { PipelineError } from '../errors.js';
import { Releases } from '../lifecycle.js';
import { type Profile, profiles } from '../proof/plan.js';
import { type TortureReport, reportOf, reportText } from '../proof/report.js';
import { runStorm } from '../proof/storm.js';
import { type TortureOptions, torture } from '../proof/torture.js';
import { closeWorkspace, openWorkspace } from '../proof/workspace.js';
import type { CliContext, Command } from './context.js';
import { exitCode } from './exit.js';
import type { Row } from './output.js';
import { openStaging } from './torture-staging.js';

/** As commander gives them. */
interface Given {
  readonly messages: number;
  readonly kills: number;
  readonly seed: number;
  readonly backend?: string;
  readonly profile: string;
  readonly keep?: boolean;
  readonly yesReally?: boolean;
}

type Run = Omit<TortureOptions, 'backend' | 'searchPath'>;

/** `torture`: real processes, killed over and over, and a verdict by other means than their own. */
export const tortureCommand: Command<Given> = async (context, given) => {
  const { messages, kills, seed, keep = false } = given;
  if (messages < 1 || kills < 1)
    throw new PipelineError('usage', 'torture needs --messages and --kills of at least 1');
  const profile = profiles.find((known) => known === given.profile);
  if (profile === undefined)
    throw new PipelineError('usage', `the profile must be one of ${profiles.join(', ')}`);
  const startedAt = Date.now();
  const stopping = new AbortController();
  // A second signal finds no listener and ends the process at once.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());
  const run: Run = {
    messages,
    kills,
    seed,
    profile,
    keep,
    signal: stopping.signal,
    tell: (line) => context.out.note(`[${((Date.now() - startedAt) / 1000).toFixed(1)} s] ${line}`),
    repeat: repeatOf(context, given),
  };
  const report = context.isConfigNamed
    ? await tortureStaging(context, run, given.yesReally ?? false)
    : await tortureEmbedded(context, run, given.backend ?? 'redis');
  context.out.result(asRow(report), reportText(report));
  return report.verdict === 'passed' ? exitCode.ok : exitCode.failed;
};

async function tortureEmbedded(context: CliContext, run: Run, backend: string): Promise<TortureReport> {
  if (backend !== 'redis' && backend !== 'postgres') {
    throw new PipelineError('usage', 'the backend must be redis or postgres');
  }
  return torture({ ...run, backend, searchPath: context.environment.variables['PATH'] ?? '' });
}

async function tortureStaging(context: CliContext, run: Run, isForced: boolean): Promise<TortureReport> {
  const startedAt = Date.now();
  const { seed, signal, tell } = run;
  const dir = await openWorkspace();
  const releases = new Releases();
  let verdict: TortureReport['verdict'] | null = null;
  try {
    const { arena, pipeline, queueBackend } = await openStaging(context, { seed, isForced, dir, releases });
    tell(`torturing pipeline ${pipeline} with processes of this run's own; nothing else is touched`);
    const result = await runStorm(arena, { ...run, pipeline });
    // Who hands out what again is known to SQS alone.
    const report = reportOf(result, {
      ...run,
      queueBackend,
      wallMs: Date.now() - startedAt,
      redeliveries: 0,
    });
    verdict = report.verdict;
    return report;
  } finally {
    await releases.release();
    const kept = closeWorkspace(
      dir,
      run.keep || (verdict !== null && verdict !== 'passed' && !signal.aborted),
    );
    if (kept !== null) tell(`logs: ${kept}`);
  }
}

function asRow(report: TortureReport): Row {
  const { leaks, recovery } = report;
  const { next_commit, batch_in_hand } = recovery;
  return {
    ...report,
    leaks: leaks.map((leak) => ({ ...leak })),
    recovery: {
      ...recovery,
      next_commit: next_commit && { ...next_commit },
      batch_in_hand: batch_in_hand && { ...batch_in_hand },
    },
  };
}

function repeatOf({ isConfigNamed, configFile }: CliContext, given: Given): string {
  const { messages, kills, seed, backend, profile } = given;
  const parts: readonly (string | false)[] = [
    'maskline torture',
    isConfigNamed && `-c ${configFile}`,
    `--messages ${messages} --kills ${kills} --seed ${seed}`,
    backend !== undefined && `--backend ${backend}`,
    profile !== ('storm' satisfies Profile) && `--profile ${profile}`,
  ];
  return parts.filter((part) => part !== false).join(' ');
}
