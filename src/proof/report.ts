import type { Found } from './leak-scan.js';
import { countPassages } from './journal.js';
import type { Profile } from './plan.js';
import { RECOVERY_BUDGET_MS, type Recovery } from './recovery.js';
import type { StormResult } from './storm.js';

/** What a run came to: `invalid` when its faults hit too little to prove anything. */
export type Verdict = 'passed' | 'failed' | 'invalid';

/** What a run was like: one of `profiles`, or a storm over a FIFO queue whose order is judged. */
export type ReportedProfile = Profile | 'fifo';

/** All that a run has to say; the keys are those of `--json`. Counts, and names of our own: nothing of a message. */
export interface TortureReport {
  readonly verdict: Verdict;
  readonly lost: number;
  readonly twice: number;
  readonly leaked: number;
  readonly kills: number;
  readonly seed: number;
  readonly messages: number;
  readonly profile: ReportedProfile;
  readonly queue_backend: string;
  readonly wall_s: number;
  readonly misplaced: number;
  readonly strays: number;
  readonly wrong: number;
  readonly problems: readonly string[];
  readonly leaks: readonly Found[];
  readonly faults: Readonly<{ [kind: string]: number }>;
  /** Crashes at failpoints, by point. */
  readonly crashes: Readonly<{ [point: string]: number }>;
  readonly process_kills: number;
  /** Of those, kills of a process with messages or batches in hand. */
  readonly hits: number;
  /** Batches that were in hand at a kill. */
  readonly batches_hit: number;
  readonly redeliveries: number;
  /** Passages of each failpoint, by point. */
  readonly passages: Readonly<{ [point: string]: number }>;
  readonly recovery: Recovery;
  readonly facts: Readonly<{ [name: string]: number }>;
  /** The command that repeats it. */
  readonly repeat: string;
  /** Where logs and data are, if they were kept. */
  readonly kept: string | null;
}

/** What the result itself does not tell. */
export interface ReportContext {
  readonly seed: number;
  readonly profile: ReportedProfile;
  readonly queueBackend: string;
  readonly wallMs: number;
  /** Messages that SQS handed out more than once. */
  readonly redeliveries: number;
  readonly repeat: string;
}

/** A run in which fewer of the kills hit something is invalid. */
const LEAST_HITS = 1 / 3;

/** Puts the result of a run into figures. */
export function reportOf(result: StormResult, context: ReportContext): TortureReport {
  const { findings, recovery, fleet, nemesis } = result;
  const killed = fleet.lives.filter(({ end }) => end === 'killed' || end === 'crashed');
  const hits = killed.filter(
    ({ unfinished }) => (unfinished?.batchIds.length ?? 0) + (unfinished?.messages ?? 0) > 0,
  );
  const crashes: { [point: string]: number } = {};
  for (const { end, unfinished } of killed) {
    const point = unfinished?.lastPoint ?? null;
    if (end === 'crashed' && point !== null) crashes[point] = (crashes[point] ?? 0) + 1;
  }
  const passages = new Map<string, number>();
  for (const { journal } of fleet.lives) countPassages(journal, passages);
  const problems = [
    ...findings.problems,
    ...result.problems,
    ...(recovery.over_budget > 0
      ? [`${recovery.over_budget} kills were not recovered from within the budget`]
      : []),
  ];
  const { lost, twice, misplaced, strays, wrong, leaks } = findings;
  const isRight = lost + twice + misplaced + strays + wrong + leaks.length === 0 && problems.length === 0;
  const isValid = hits.length >= killed.length * LEAST_HITS && killed.length > 0;
  return {
    verdict: isRight ? (isValid ? 'passed' : 'invalid') : 'failed',
    lost,
    twice,
    leaked: leaks.length,
    kills: result.kills,
    seed: context.seed,
    messages: result.sent,
    profile: context.profile,
    queue_backend: context.queueBackend,
    wall_s: Math.round(context.wallMs / 1000),
    misplaced,
    strays,
    wrong,
    problems,
    leaks,
    faults: nemesis.counts,
    crashes,
    process_kills: killed.length,
    hits: hits.length,
    batches_hit: killed.reduce((sum, { unfinished }) => sum + (unfinished?.batchIds.length ?? 0), 0),
    redeliveries: context.redeliveries,
    passages: Object.fromEntries([...passages].toSorted(([a], [b]) => (a < b ? -1 : 1))),
    recovery,
    facts: findings.facts,
    repeat: context.repeat,
    kept: null,
  };
}

/** The one line that a run is about. */
export function verdictLine({ lost, twice, leaked, kills, seed }: TortureReport): string {
  return `lost ${lost} · twice ${twice} · leaked ${leaked} · kills ${kills} · seed ${seed}`;
}

/** The report as people read it. */
export function reportText(report: TortureReport): string {
  const { next_commit, batch_in_hand } = report.recovery;
  const spread = (name: string, ms: typeof next_commit): string[] =>
    ms === null ? [] : [`  ${name}: median ${ms.median} ms, 95 % ${ms.p95} ms, longest ${ms.max} ms`];
  const counts = (of: Readonly<{ [name: string]: number }>): string =>
    Object.entries(of)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ') || 'none';
  const failures = [
    report.misplaced > 0 && `${report.misplaced} messages are in the wrong table`,
    report.strays > 0 && `${report.strays} rows belong to no message`,
    report.wrong > 0 && `${report.wrong} rows do not hold what was sent`,
    ...report.problems,
    ...report.leaks.map(({ canary, encoding, where }) => `${canary} (${encoding}) was found in ${where}`),
    report.verdict === 'invalid' &&
      'invalid: too few kills hit a process at work, so that this proves nothing',
  ].filter((line) => line !== false);
  return [
    verdictLine(report),
    ...failures.map((line) => `  ${line}`),
    '',
    `${report.messages} messages in ${report.wall_s} s, queues on ${report.queue_backend}, profile ${report.profile}`,
    `faults: ${counts(report.faults)}`,
    `crashes at failpoints: ${counts(report.crashes)}`,
    `of ${report.process_kills} kills of processes ${report.hits} hit one at work, with ${report.batches_hit} batches in hand; ` +
      `SQS handed out ${report.redeliveries} messages again`,
    'recovery',
    ...spread('from a kill to the next commit', next_commit),
    ...spread('from a kill to the fate of what was in hand', batch_in_hand),
    `  kills after which nothing else failed until the next commit: ${report.recovery.undisturbed}, ` +
      `of which ${report.recovery.over_budget} took longer than ${RECOVERY_BUDGET_MS / 1000} s`,
    `seen: ${counts(report.facts)}`,
    ...(report.verdict === 'passed' ? [] : ['', `repeat it: ${report.repeat}`]),
    ...(report.kept === null ? [] : [`logs and data: ${report.kept}`]),
  ].join('\n');
}
