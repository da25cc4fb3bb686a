// Steady load for as long as it takes to see what grows.

import { cpus } from 'node:os';
import type { Verdict } from '../../src/proof/report.js';
import { type Drill, type DrillEnd, type DrillOptions, runDrill } from './drill.js';
import { type ProcessSample, sampleProcesses } from './process-samples.js';
import { type QueueContents, queueContents } from './queue-contents.js';
import { type Leaks, type Totals, totalsOf } from './verdict.js';

/** A soak. */
export interface SoakOptions extends DrillOptions {
  readonly soakMs: number;
  /** Memory of a process may grow by this share from the first third to the last; 0.05 is what is promised. */
  readonly maxGrowth: number;
  /** How many descriptors more than a tenth may be open: connections, of pools that fill in the course of a short run. */
  readonly moreDescriptors?: number;
}

/** What was seen at one moment. */
export interface Look {
  /** By process, in their order. */
  readonly processes: readonly ProcessSample[];
  readonly queue: QueueContents;
}

/** What was seen of a soak. */
export interface Soaked {
  readonly names: readonly string[];
  /** Those after the warm-up. */
  readonly looks: readonly Look[];
  /** Before the load, and after it: with nothing on its way. */
  readonly keysAtStart: number;
  readonly keysAtEnd: number;
  /** Share of all processors that was in use, by whomever. */
  readonly busy: number;
}

/** Medians over the first third of what was seen, and over the last. */
export interface Thirds {
  readonly first: number;
  readonly last: number;
}

/** One process over time. */
export interface ProcessGrowth {
  readonly name: string;
  readonly rss_mib: Thirds;
  readonly heap_mib: Thirds;
  readonly fds: Thirds | null;
  readonly lag_ms: Thirds;
}

/** All that a soak has to say; the keys are those of `--json`. */
export interface SoakReport extends Totals, Leaks {
  readonly verdict: Verdict;
  readonly profile: 'soak';
  readonly soak_s: number;
  readonly seed: number;
  readonly messages: number;
  readonly per_second: number;
  readonly queue_backend: string;
  readonly wall_s: number;
  readonly busy: number;
  readonly looks: number;
  readonly problems: readonly string[];
  readonly processes: readonly ProcessGrowth[];
  readonly keys: Thirds;
  readonly keys_at_start: number;
  readonly keys_at_end: number;
  readonly queue_mib: Thirds | null;
  readonly most_receives: number;
  readonly facts: Readonly<{ [name: string]: number }>;
  readonly repeat: string;
  readonly kept: string | null;
}

/** Until the code is compiled, the pools are full and the heaps have their size. */
const WARM_UP_SHARE = 1 / 6;
/** Enough for a batch of each process, so that whatever is made once has been made. */
const PRIMING_MESSAGES = 2_000;
const LOOKS = 360;
const LOOK_MS = { least: 250, most: 5_000 };
/** Fewer looks say nothing. */
const LEAST_LOOKS = 9;
const MIB = 2 ** 20;

/** Carries out a soak. Throws `canceled` when `signal` aborts, `unexpected` when it does not come to rest. */
export function soak(options: SoakOptions): Promise<SoakReport> {
  return runDrill(
    options,
    (drill) => observe(drill, options),
    (soaked, end) => soakReport(soaked, end, options),
  );
}

async function observe(drill: Drill, options: SoakOptions): Promise<Soaked> {
  const { messages, soakMs, tell } = options;
  const { feed, stack, processes, wait } = drill;
  await feed.send(Math.min(PRIMING_MESSAGES, messages));
  await drill.settled();
  const { keys: keysAtStart } = await queueContents(stack);
  const perSecond = ((messages - feed.ids.length) * 1_000) / soakMs;
  tell(`sending ${perSecond.toFixed(1)} messages a second for ${soakMs / 1_000} s`);
  feed.start(messages, perSecond);
  const everyMs = Math.min(LOOK_MS.most, Math.max(LOOK_MS.least, soakMs / LOOKS));
  const looks: Look[] = [];
  const busyBefore = busyTimes();
  const startedAt = performance.now();
  // On a machine with more to do than it can, a look takes long.
  while (performance.now() - startedAt < soakMs || looks.length < LEAST_LOOKS) {
    await wait(everyMs);
    const [sampled, queue] = await Promise.all([sampleProcesses(processes), queueContents(stack)]);
    if (performance.now() - startedAt >= soakMs * WARM_UP_SHARE) looks.push({ processes: sampled, queue });
  }
  const busyAfter = busyTimes();
  await feed.finished();
  tell(`all ${feed.ids.length} messages are sent; waiting until they are settled`);
  await drill.settled();
  const { keys: keysAtEnd } = await queueContents(stack);
  const busy = (busyAfter.busy - busyBefore.busy) / (busyAfter.all - busyBefore.all);
  return { names: processes.map(({ name }) => name), looks, keysAtStart, keysAtEnd, busy };
}

function busyTimes(): { readonly busy: number; readonly all: number } {
  const times = cpus().map((cpu) => cpu.times);
  const all = times.reduce((sum, { user, nice, sys, idle, irq }) => sum + user + nice + sys + idle + irq, 0);
  return { busy: all - times.reduce((sum, { idle }) => sum + idle, 0), all };
}

/** Puts what was seen into figures, and judges them. */
export function soakReport(
  { names, looks, keysAtStart, keysAtEnd, busy }: Soaked,
  end: DrillEnd,
  { soakMs, maxGrowth, moreDescriptors = FDS_VARY_BY, messages, seed, backend, repeat }: SoakOptions,
): SoakReport {
  const processes = names.map((name, index) => growthOf(name, looks, index));
  const keys = thirdsOf(looks.map(({ queue }) => queue.keys));
  const bytes = looks.flatMap(({ queue }) => (queue.bytes === null ? [] : [queue.bytes / MIB]));
  const problems = [
    ...end.problems,
    ...processes.flatMap((each) => growthProblems(each, maxGrowth, moreDescriptors)),
    ...(keysAtEnd > keysAtStart
      ? [`the queue's server had ${keysAtStart} keys or rows before the load, and ${keysAtEnd} after it`]
      : []),
    ...(keys.last > Math.max(keys.first * (1 + KEYS_VARY), keys.first + KEYS_VARY_BY)
      ? [`keys or rows in the queue's server: ${keys.first} in the first third, ${keys.last} in the last`]
      : []),
  ];
  const totals = totalsOf(end.findings);
  const isRight = totals.wrongs === 0 && problems.length === 0;
  return {
    verdict: isRight ? (looks.length >= LEAST_LOOKS ? 'passed' : 'invalid') : 'failed',
    ...totals.counts,
    profile: 'soak',
    soak_s: soakMs / 1_000,
    seed,
    messages: end.sent,
    per_second: Math.round((messages * 10_000) / soakMs) / 10,
    queue_backend: backend,
    wall_s: Math.round(end.wallMs / 1_000),
    busy: Math.round(busy * 100) / 100,
    looks: looks.length,
    problems,
    leaks: end.findings.leaks,
    processes,
    keys,
    keys_at_start: keysAtStart,
    keys_at_end: keysAtEnd,
    queue_mib: bytes.length === 0 ? null : thirdsOf(bytes),
    most_receives: end.mostReceives,
    facts: end.findings.facts,
    repeat,
    kept: null,
  };
}

/** A key a job and some for the queue: how many jobs there are at a look is chance. */
const KEYS_VARY = 0.2;
const KEYS_VARY_BY = 5;
/** Pools close what nobody needs and open what somebody does; an ingester has some fifty connections to SQS. */
const FDS_VARY = 0.1;
const FDS_VARY_BY = 2;

function growthProblems(
  { name, rss_mib, fds }: ProcessGrowth,
  maxGrowth: number,
  moreDescriptors: number,
): readonly string[] {
  return [
    ...(rss_mib.last > rss_mib.first * (1 + maxGrowth)
      ? [`${name} grew from ${rss_mib.first} to ${rss_mib.last} MiB`]
      : []),
    ...(fds !== null && fds.last > Math.max(fds.first * (1 + FDS_VARY), fds.first + moreDescriptors)
      ? [`${name} had ${fds.first} descriptors open in the first third, and ${fds.last} in the last`]
      : []),
  ];
}

function growthOf(name: string, looks: readonly Look[], index: number): ProcessGrowth {
  const seen = looks.flatMap(({ processes }) => processes[index] ?? []);
  const fds = seen.flatMap((sample) => sample.fds ?? []);
  return {
    name,
    rss_mib: thirdsOf(seen.map(({ rssBytes }) => rssBytes / MIB)),
    heap_mib: thirdsOf(seen.map(({ heapBytes }) => heapBytes / MIB)),
    fds: fds.length === 0 ? null : thirdsOf(fds),
    lag_ms: thirdsOf(seen.map(({ lagMs }) => lagMs)),
  };
}

function thirdsOf(values: readonly number[]): Thirds {
  const third = Math.max(1, Math.floor(values.length / 3));
  return { first: median(values.slice(0, third)), last: median(values.slice(-third)) };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return Math.round((sorted[Math.floor(sorted.length / 2)] ?? 0) * 10) / 10;
}

/** The report as people read it. */
export function soakText(report: SoakReport): string {
  const thirds = ({ first, last }: Thirds): string => `${first} → ${last}`;
  const growth = ({ first, last }: Thirds): string => {
    const percent = first === 0 ? 0 : (last / first - 1) * 100;
    return `${percent < 0 ? '' : '+'}${percent.toFixed(1)} %`;
  };
  const row = (cells: readonly string[]): string =>
    `  ${cells.map((cell, at) => cell.padEnd(COLUMN_WIDTHS[at] ?? 0)).join(' ')}`.trimEnd();
  const { keys, queue_mib } = report;
  return [
    `lost ${report.lost} · twice ${report.twice} · leaked ${report.leaked} · ` +
      `${report.soak_s} s of ${report.per_second} messages a second · seed ${report.seed}`,
    ...report.problems.map((line) => `  ${line}`),
    ...(report.verdict === 'invalid'
      ? [`  invalid: ${report.looks} looks are too few to prove anything`]
      : []),
    '',
    `${report.messages} messages in ${report.wall_s} s, queues on ${report.queue_backend}; ` +
      `the machine was ${Math.round(report.busy * 100)} % busy`,
    `medians of the first third and the last of ${report.looks} looks after the warm-up`,
    row(['process', 'RSS MiB', '', 'heap MiB', 'descriptors', 'lag p99 ms']),
    ...report.processes.map(({ name, rss_mib, heap_mib, fds, lag_ms }) =>
      row([
        name,
        thirds(rss_mib),
        growth(rss_mib),
        thirds(heap_mib),
        fds ? thirds(fds) : '-',
        thirds(lag_ms),
      ]),
    ),
    `keys or rows in the queue's server: ${thirds(keys)}; at rest ${report.keys_at_start} before the load, ` +
      `${report.keys_at_end} after it${queue_mib ? `; memory in MiB ${thirds(queue_mib)}` : ''}`,
    `no message was received more than ${report.most_receives} times`,
    `seen: ${Object.entries(report.facts)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ')}`,
    ...(report.verdict === 'passed' ? [] : ['', `repeat it: ${report.repeat}`]),
    ...(report.kept === null ? [] : [`logs and data: ${report.kept}`]),
  ].join('\n');
}

const COLUMN_WIDTHS = [12, 16, 8, 16, 14];
