// A dependency is away for minutes, under load: cut off first, then silent, then back.

import type { Leaks, Totals } from './verdict.js';
import { totalsOf } from './verdict.js';
import { type Drill, type DrillEnd, type DrillOptions, runDrill } from './drill.js';
import { queueContents } from './queue-contents.js';
import type { ProxyFault } from '../../src/proof/fault-proxy.js';
import type { Dependency } from '../../src/proof/plan.js';
import type { Verdict } from '../../src/proof/report.js';
import { PIPELINE } from '../../src/proof/stack.js';

/** What is away: one of the servers, or all at once. */
export const away = ['redis', 'postgres', 'sqs', 'all'] as const;

/** One of `away`. */
export type Away = (typeof away)[number];

/** An outage drill. */
export interface OutageOptions extends DrillOptions {
  readonly of: Away;
  readonly outageMs: number;
}

/** All that an outage drill has to say; the keys are those of `--json`. */
export interface OutageReport extends Totals, Leaks {
  readonly verdict: Verdict;
  readonly profile: 'outage';
  readonly of: Away;
  readonly outage_s: number;
  readonly seed: number;
  readonly messages: number;
  /** Messages that were sent a second, before, during and after. */
  readonly per_second: number;
  readonly queue_backend: string;
  readonly wall_s: number;
  readonly problems: readonly string[];
  readonly most_receives: number;
  readonly received_again: number;
  readonly attempts_spent: number;
  readonly commits_before: number;
  readonly commits_during: number;
  /** From the end of the outage to the first commit. */
  readonly first_commit_ms: number | null;
  /** From the end of the outage until no more messages and batches were under way than before it. */
  readonly backlog_recovered_ms: number | null;
  readonly backlog_before: number;
  readonly backlog_peak: number;
  readonly facts: Readonly<{ [name: string]: number }>;
  readonly repeat: string;
  readonly kept: string | null;
}

/** When it was, in epoch ms. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** What was under way at a moment. */
export interface Sample {
  readonly at: number;
  /** Messages in SQS, in whatever state; what is in the queues is held there too. */
  readonly messages: number;
  readonly mostAttempts: number;
}

/** What was seen of an outage. */
export interface Observed {
  readonly outage: Span;
  readonly samples: readonly Sample[];
  /** Times of commits, in order. */
  readonly commits: readonly number[];
}

/** Load before and after an outage, as a share of it, within these limits. */
const CALM_SHARE = 0.1;
const CALM_MS = { least: 2_000, most: 60_000 };
/** What is on its way when an outage begins may still arrive. */
const LAST_COMMITS_MS = 1_000;
/** A receive that is lost with its connection, and a receipt that ran out while SQS was away, cost one more; no more do. */
const MOST_RECEIVES = 2;
const PRIMING_MESSAGES = 100;
const SAMPLES = 400;
const SAMPLE_MS = { least: 200, most: 1_000 };

/** How long there is load before the outage, and how long after it. */
export function calmMs(outageMs: number): number {
  return Math.min(CALM_MS.most, Math.max(CALM_MS.least, outageMs * CALM_SHARE));
}

/** Carries out an outage drill. Throws `canceled` when `signal` aborts, `unexpected` when it does not come to rest. */
export function drillOutage(options: OutageOptions): Promise<OutageReport> {
  const perSecond = (options.messages * 1_000) / (2 * calmMs(options.outageMs) + options.outageMs);
  return runDrill(
    options,
    (drill) => observe(drill, options, perSecond),
    (observed, end) => outageReport(observed, end, { ...options, perSecond }),
  );
}

async function observe(drill: Drill, options: OutageOptions, perSecond: number): Promise<Observed> {
  const { messages, outageMs, of, tell } = options;
  const { feed, stack, wait } = drill;
  const samples: Sample[] = [];
  const calm = calmMs(outageMs);
  // An outage proves nothing to processes that have not got going yet.
  await feed.send(Math.min(PRIMING_MESSAGES, messages));
  await drill.settled();
  const sampling = sample(drill, samples, outageMs);
  feed.start(messages, perSecond);
  tell(`sending ${perSecond.toFixed(1)} messages a second`);
  await wait(calm);
  const from = Date.now();
  await befall(stack.proxies, of, { kind: 'refuse' });
  tell(`${of === 'all' ? 'everything' : of} is away: connections are refused`);
  await wait(outageMs / 2);
  await befall(stack.proxies, of, { kind: 'black_hole' });
  tell('and now it is silent');
  await wait(outageMs / 2);
  await befall(stack.proxies, of, { kind: 'pass' });
  const outage = { from, to: Date.now() };
  tell('it is back');
  await feed.finished();
  tell(`all ${feed.ids.length} messages are sent; waiting until they are settled`);
  await drill.settled();
  await sampling.stop();
  return { outage, samples, commits: await commitsOf(stack.pool) };
}

async function befall(proxies: Drill['stack']['proxies'], of: Away, fault: ProxyFault): Promise<void> {
  const all: readonly Dependency[] = ['redis', 'postgres', 'sqs'];
  const struck = of === 'all' ? all : [of];
  await Promise.all(struck.flatMap((dependency) => proxies[dependency]?.set(fault) ?? []));
}

/** Looks on until stopped, past all proxies. */
function sample(
  { arena, stack, wait }: Drill,
  samples: Sample[],
  outageMs: number,
): { stop(): Promise<void> } {
  const everyMs = Math.min(SAMPLE_MS.most, Math.max(SAMPLE_MS.least, outageMs / SAMPLES));
  let isOver = false;
  const look = async (): Promise<void> => {
    const [{ queue }, { mostAttempts }] = await Promise.all([arena.left(), queueContents(stack)]);
    samples.push({ at: Date.now(), messages: queue, mostAttempts });
  };
  const lookOn = async (): Promise<void> => {
    while (!isOver) {
      await look();
      await wait(everyMs);
    }
  };
  const looking = lookOn();
  // Who waits for its end hears of a failure; until then it is nobody's.
  looking.catch(() => undefined);
  return {
    stop: async () => {
      isOver = true;
      await looking;
      // The end, which may have come since the last look.
      await look();
    },
  };
}

async function commitsOf(pool: Drill['stack']['pool']): Promise<readonly number[]> {
  const { rows } = await pool.query<{ at: number }>(
    `select extract(epoch from loaded_at)::float8 * 1000 as at from maskline.loads
      where pipeline = $1 and state = 'committed' order by loaded_at`,
    [PIPELINE],
  );
  return rows.map(({ at }) => at);
}

/** Puts what was seen into figures, and judges them. */
export function outageReport(
  { outage, samples, commits }: Observed,
  end: DrillEnd,
  { of, outageMs, seed, backend, repeat, perSecond }: OutageOptions & { readonly perSecond: number },
): OutageReport {
  const before = samples.filter(({ at }) => at < outage.from);
  // The first half of the calm is for the processes to get going.
  const calm = before.slice(Math.floor(before.length / 2));
  const usual = Math.max(0, ...calm.map(({ messages }) => messages));
  const recovered = samples.find(({ at, messages }) => at >= outage.to && messages <= usual);
  const firstCommit = commits.find((at) => at >= outage.to);
  const commitsBefore = commits.filter((at) => at < outage.from).length;
  // In its second half nothing that was under way at its beginning can still be.
  const halfway = Math.max(outage.from + LAST_COMMITS_MS, (outage.from + outage.to) / 2);
  const commitsDuring = commits.filter((at) => at > halfway && at < outage.to).length;
  const attemptsSpent = Math.max(end.failedAttempts, ...samples.map(({ mostAttempts }) => mostAttempts));
  const problems = [
    ...end.problems,
    ...(end.mostReceives > MOST_RECEIVES ? [`a message was received ${end.mostReceives} times`] : []),
    ...(attemptsSpent > 0 ? [`${attemptsSpent} attempts of jobs were spent`] : []),
    ...(firstCommit === undefined ? ['nothing was committed after the outage'] : []),
    ...(recovered === undefined ? ['the backlog did not become as it was before'] : []),
  ];
  const totals = totalsOf(end.findings);
  const isRight = totals.wrongs === 0 && problems.length === 0;
  const isValid = commitsBefore > 0 && commitsDuring === 0;
  return {
    verdict: isRight ? (isValid ? 'passed' : 'invalid') : 'failed',
    ...totals.counts,
    profile: 'outage',
    of,
    outage_s: outageMs / 1_000,
    seed,
    messages: end.sent,
    per_second: Math.round(perSecond * 10) / 10,
    queue_backend: backend,
    wall_s: Math.round(end.wallMs / 1_000),
    problems,
    leaks: end.findings.leaks,
    most_receives: end.mostReceives,
    received_again: end.receivedAgain,
    attempts_spent: attemptsSpent,
    commits_before: commitsBefore,
    commits_during: commitsDuring,
    first_commit_ms: firstCommit === undefined ? null : Math.round(firstCommit - outage.to),
    backlog_recovered_ms: recovered === undefined ? null : recovered.at - outage.to,
    backlog_before: usual,
    backlog_peak: Math.max(0, ...samples.map(({ messages }) => messages)),
    facts: end.findings.facts,
    repeat,
    kept: null,
  };
}

/** The report as people read it. */
export function outageText(report: OutageReport): string {
  const ms = (value: number | null): string => (value === null ? 'never' : `${value} ms`);
  return [
    `lost ${report.lost} · twice ${report.twice} · leaked ${report.leaked} · ` +
      `${report.of} away for ${report.outage_s} s · seed ${report.seed}`,
    ...report.problems.map((line) => `  ${line}`),
    ...(report.verdict === 'invalid'
      ? [
          `  invalid: ${report.commits_before} batches were committed before the outage and ` +
            `${report.commits_during} in its second half, so that this proves nothing`,
        ]
      : []),
    '',
    `${report.messages} messages, ${report.per_second} a second, in ${report.wall_s} s, queues on ${report.queue_backend}`,
    `from the end of the outage to the first commit: ${ms(report.first_commit_ms)}`,
    `until the backlog was as before: ${ms(report.backlog_recovered_ms)} ` +
      `(${report.backlog_before} messages before, ${report.backlog_peak} at most)`,
    `no message was received more than ${report.most_receives} times; ` +
      `${report.received_again} were received again; attempts spent: ${report.attempts_spent}`,
    `seen: ${Object.entries(report.facts)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ')}`,
    ...(report.verdict === 'passed' ? [] : ['', `repeat it: ${report.repeat}`]),
    ...(report.kept === null ? [] : [`logs and data: ${report.kept}`]),
  ].join('\n');
}
