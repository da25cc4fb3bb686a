// A drill: real processes under a steady feed, of which nobody kills any, and the verdict of the other runs.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../../src/embedded/free-port.js';
import { PipelineError } from '../../src/errors.js';
import { Releases } from '../../src/lifecycle.js';
import type { Arena } from '../../src/proof/arena.js';
import { openEmbeddedArena } from '../../src/proof/embedded-arena.js';
import { Fleet, type FleetRole, type Life } from '../../src/proof/fleet.js';
import { marksOf } from '../../src/proof/messages.js';
import type { Findings } from '../../src/proof/oracle.js';
import type { Verdict } from '../../src/proof/report.js';
import {
  type PipelineSettings,
  type ProofStack,
  processesDir,
  startProofStack,
} from '../../src/proof/stack.js';
import { closeWorkspace, openWorkspace } from '../../src/proof/workspace.js';
import { Feed } from './feed.js';
import { Receives } from './receives.js';

/** What a drill is to be. */
export interface DrillOptions {
  /** In all. */
  readonly messages: number;
  readonly seed: number;
  readonly backend: 'redis' | 'postgres';
  /** Of the programs that are to be found. */
  readonly searchPath: string;
  /** The command that repeats the drill. */
  readonly repeat: string;
  /** Whether logs and data are kept though all is right. */
  readonly keep: boolean;
  readonly signal: AbortSignal;
  /** Hears of each step. */
  readonly tell: (line: string) => void;
  /** Differences from the defaults of maskline.yaml, for a drill of seconds. */
  readonly settings?: Omit<PipelineSettings, 'schedule'>;
}

/** What a drill goes on in. */
export interface Drill {
  readonly stack: ProofStack;
  readonly arena: Arena;
  readonly feed: Feed;
  /** The processes, each by its name, and where each serves its metrics. */
  readonly processes: readonly DrilledProcess[];
  /** Throws `canceled` when the drill was told to stop. */
  wait(ms: number): Promise<void>;
  /** Waits until SQS and the queues have nothing left. */
  settled(): Promise<void>;
}

/** One process under test. */
export interface DrilledProcess {
  readonly name: string;
  readonly pid: number;
  readonly metrics: string;
}

/** What a drill came to, besides what was measured in it. */
export interface DrillEnd {
  readonly sent: number;
  readonly findings: Findings;
  readonly problems: readonly string[];
  readonly mostReceives: number;
  /** Messages that SQS handed out more than once. */
  readonly receivedAgain: number;
  /** Attempts of jobs that ended in an error, as the processes have logged them. */
  readonly failedAttempts: number;
  readonly wallMs: number;
}

/** One of each would do; two of each can get into each other's way. */
const FLEET_SIZES = { ingest: 2, transform: 2, load: 2 } as const;
const ROLES: readonly FleetRole[] = ['ingest', 'transform', 'load'];
/** A queue on which the third needless receive makes a dead letter of a good message. */
const MAX_RECEIVES = 3;
/** A message that was lost with a connection comes back after its visibility timeout; a released one within 15 min. */
const SETTLE_LIMIT_MS = 30 * 60_000;
const LOOK_MS = 250;
/** The queue must look empty so often in a row: its numbers are approximate. */
const LOOKS = 3;
const TELL_EVERY_MS = 30_000;

/** What every report of a drill begins with. */
export interface Concluded {
  readonly verdict: Verdict;
}

/**
 * Starts servers and processes, lets `work` go on among them, stops all in order, judges what became of the messages,
 * and has a report made of it. Of a drill that did not pass, logs and data are kept: `kept` says where.
 */
export async function runDrill<T, R extends Concluded>(
  options: DrillOptions,
  work: (drill: Drill) => Promise<T>,
  conclude: (measured: T, end: DrillEnd) => R,
): Promise<R & { readonly kept: string | null }> {
  const dir = await openWorkspace();
  const releases = new Releases();
  let report: R | null = null;
  try {
    report = await drillIn(dir, releases, options, work, conclude);
  } finally {
    await releases.release();
    const isKept = options.keep || (report?.verdict !== 'passed' && !options.signal.aborted);
    const kept = closeWorkspace(dir, isKept);
    if (report) report = { ...report, kept };
    else if (kept !== null) options.tell(`logs and data: ${kept}`);
  }
  return { kept: null, ...report };
}

async function drillIn<T, R extends Concluded>(
  dir: string,
  releases: Releases,
  options: DrillOptions,
  work: (drill: Drill) => Promise<T>,
  conclude: (measured: T, end: DrillEnd) => R,
): Promise<R> {
  const { seed, backend, searchPath, settings = {}, signal, tell } = options;
  const startedAt = Date.now();
  const receives = new Receives();
  const stack = await startProofStack({
    dir,
    releases,
    backend,
    searchPath,
    pipeline: { schedule: 'continuous', ...settings },
    maxReceives: MAX_RECEIVES,
    onAnswer: receives.note,
  });
  tell(
    `Postgres, ${stack.redis ? 'Redis' : 'the queues in it'} and SQS are up, each behind a proxy, in ${dir}`,
  );
  const arena = await openEmbeddedArena(stack, seed, releases);
  const { fleet, portOf } = await openFleet(arena, releases);
  await fleet.start();
  tell('all processes are ready');
  const feed = await releases.acquire(new Feed(arena), (open) => open.stop());
  const wait = async (ms: number): Promise<void> => {
    await delay(ms, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) throw new PipelineError('canceled', 'the drill was told to stop');
    if (feed.failure !== null) throw feed.failure;
  };
  const measured = await work({
    stack,
    arena,
    feed,
    processes: fleet.lives.map(({ role, slot, pid }) => ({
      name: `${role} ${slot}`,
      pid,
      metrics: `http://127.0.0.1:${portOf(role, slot)}/metrics`,
    })),
    wait,
    settled: () => settled(arena, wait, tell),
  });
  const overdue = await fleet.stop();
  tell('all processes have stopped; looking for what is missing, double or leaked');
  const sent = { seed, marks: marksOf(seed), ids: feed.ids };
  const findings = await arena.judge(sent, { killedPids: new Set(), startedAt });
  const { queue, deadLetters } = await arena.left();
  return conclude(measured, {
    sent: feed.ids.length,
    findings,
    problems: [
      ...findings.problems,
      ...misbehaviour(fleet.lives, overdue),
      ...(queue > 0 ? [`SQS still has ${queue} messages`] : []),
      ...((deadLetters ?? 0) > 0 ? [`the dead-letter queue has ${deadLetters} messages`] : []),
      ...((findings.facts['runs_abandoned'] ?? 0) > 0 ? ['a run was given up though its process lives'] : []),
    ],
    mostReceives: receives.most,
    receivedAgain: receives.again,
    failedAttempts: failedAttempts(processesDir(dir)),
    wallMs: Date.now() - startedAt,
  });
}

/** Of processes as users start them: no failpoints, no journal; each with a port for its metrics. */
async function openFleet(
  arena: Arena,
  releases: Releases,
): Promise<{ readonly fleet: Fleet; readonly portOf: (role: FleetRole, slot: number) => number }> {
  const firstPort = await freePort(Object.values(FLEET_SIZES).reduce((sum, size) => sum + size, 0));
  const portOf = (role: FleetRole, slot: number): number => {
    const before = ROLES.slice(0, ROLES.indexOf(role));
    return before.reduce((sum, each) => sum + FLEET_SIZES[each], firstPort) + slot;
  };
  const fleet = new Fleet({
    ...arena.fleet,
    sizes: FLEET_SIZES,
    arm: null,
    envOf: (role, slot) => ({ PORT: String(portOf(role, slot)) }),
    onEnd: () => undefined,
  });
  await releases.acquire(fleet, (open) => {
    open.abandon();
    process.off('exit', open.abandon);
  });
  process.once('exit', fleet.abandon);
  return { fleet, portOf };
}

async function settled(arena: Arena, wait: Drill['wait'], tell: DrillOptions['tell']): Promise<void> {
  const giveUpAt = Date.now() + SETTLE_LIMIT_MS;
  let tellAt = Date.now() + TELL_EVERY_MS;
  for (let quiet = 0; quiet < LOOKS;) {
    await wait(LOOK_MS);
    const { queue } = await arena.left();
    const batches = await arena.batches();
    quiet = queue === 0 && batches === 0 ? quiet + 1 : 0;
    if (Date.now() > giveUpAt) {
      throw new PipelineError('unexpected', `it did not come to rest: SQS still has ${queue} messages`);
    }
    if (Date.now() < tellAt) continue;
    tellAt = Date.now() + TELL_EVERY_MS;
    tell(`SQS still has ${queue} messages, and there are ${batches} batches on their way`);
  }
}

/** Nobody was to end before it was told to. */
function misbehaviour(lives: readonly Life[], overdue: number): readonly string[] {
  const ended = lives.filter(({ end }) => end !== 'stopped');
  return [
    ...ended.map(
      ({ role, slot, exitCode }) => `${role} ${slot} ended of its own accord, with ${exitCode ?? 'a signal'}`,
    ),
    ...(overdue > 0 ? [`${overdue} processes did not stop in time`] : []),
  ];
}

/** The processes log each attempt that ends in an error, and no other does. */
function failedAttempts(dir: string): number {
  const logs = readdirSync(dir).filter((name) => name.endsWith('.log'));
  return logs.reduce((sum, name) => {
    const text = readFileSync(join(dir, name), 'utf8');
    return sum + [...text.matchAll(/"event":"job_failed"/g)].length;
  }, 0);
}
