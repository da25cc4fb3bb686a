// One stage alone: batches of login events are put into Redis sealed, as ingesters do, and its workers are let at them.

import { randomUUID } from 'node:crypto';
import type { Batch } from '../../batch.js';
import { systemClock } from '../../clock.js';
import { loginEvents, seededRandom } from '../../embedded/login-events.js';
import type { Releases } from '../../lifecycle.js';
import { createPool } from '../../load/connection.js';
import { kekFromFile } from '../../masking/kek.js';
import { loadKeyring } from '../../masking/keyring.js';
import { PayloadSealer } from '../../masking/seal.js';
import { type BullQueueOptions, createBullQueue } from '../../queue/bullmq.js';
import { batchCodec, maskedCodec } from '../../queue/payload.js';
import type { Backlog, BatchQueue } from '../../queue/queue.js';
import { type RoleProcess, profilerArgs, runCommand, startRole } from './cli-process.js';
import { until } from './drained.js';
import type { Figures } from './figures.js';
import type { RunOptions } from './profiles.js';
import { type Stack, startStack } from './stack.js';
import { type Usage, readUsage } from './usage.js';

/** The same made-up people in every run. */
const SEED = 1;
/** Often: a stage takes seconds, and its end is seen at one of these looks. */
export const POLL_MS = 10;

/** What one stage took for all messages. */
interface StageRun {
  /** CPU of all its processes, in µs. */
  readonly cpuMicros: number;
  readonly ms: number;
  readonly peakRssBytes: number;
}

/** Where batches are put and looked for. */
export interface Line {
  readonly stack: Stack;
  readonly transform: BatchQueue<Batch>;
  readonly load: { backlog(): Promise<Backlog> };
  readonly committed: () => Promise<number>;
}

/** The transform stage, with its figures per message and per second. */
export async function measureTransform(releases: Releases, options: RunOptions): Promise<Figures> {
  const line = await openLine(releases, options);
  const { cpuMicros, ms, peakRssBytes } = await transformStage(releases, line, options, 1);
  return {
    transform_cpu_us_per_message: cpuMicros / options.messages,
    messages_per_second: options.messages / (ms / 1_000),
    transform_peak_rss_mib: peakRssBytes / 2 ** 20,
  };
}

/** The load stage: masked batches in Redis to committed rows. */
export async function measureLoad(releases: Releases, options: RunOptions): Promise<Figures> {
  const line = await openLine(releases, options);
  await transformStage(releases, line, { ...options, cpuProfileDir: null }, 1);
  const postgres = await readUsage(line.stack.pids.postgres);
  const { cpuMicros, ms, peakRssBytes } = await loadStage(releases, line, options);
  const postgresMicros = (await readUsage(line.stack.pids.postgres)).cpuMicros - postgres.cpuMicros;
  return {
    load_cpu_us_per_message: cpuMicros / options.messages,
    postgres_cpu_us_per_message: postgresMicros / options.messages,
    messages_per_second: options.messages / (ms / 1_000),
    load_peak_rss_mib: peakRssBytes / 2 ** 20,
  };
}

/** Servers, and the queues between which a stage works. */
export async function openLine(releases: Releases, { searchPath }: RunOptions): Promise<Line> {
  const stack = await startStack(releases, { messages: 0, searchPath });
  await runCommand(stack, 'migrate');
  const { config, pipeline, keyringFile, kekFile } = stack;
  const server: Omit<BullQueueOptions<never>, 'name' | 'codec'> = {
    url: config.queue.url.reveal(),
    tls: null,
    sentinels: null,
    backend: 'redis',
    prefix: config.queue.prefix,
    sealer: new PayloadSealer(loadKeyring(keyringFile, kekFromFile(kekFile))),
    clock: systemClock,
    keepFailed: config.queue.keepFailed,
  };
  const close = (queue: { close(): Promise<void> }): Promise<void> => queue.close();
  const transform = await releases.acquire(
    createBullQueue({ ...server, name: `transform.${pipeline.name}`, codec: batchCodec }),
    close,
  );
  const load = await releases.acquire(
    createBullQueue({ ...server, name: `load.${pipeline.name}`, codec: maskedCodec }),
    close,
  );
  const pool = await releases.acquire(
    createPool({ url: stack.databaseUrl, applicationName: 'maskline-bench', max: 1 }),
    (open) => open.close(),
  );
  const committed = async (): Promise<number> => {
    const { rows } = await pool.query<{ n: number }>(
      "select count(*)::float8 as n from maskline.loads where state = 'committed'",
    );
    return rows[0]?.n ?? 0;
  };
  return { stack, transform, load, committed };
}

async function transformStage(
  releases: Releases,
  line: Line,
  { messages, run, cpuProfileDir, signal }: RunOptions,
  count: number,
): Promise<StageRun> {
  const { stack } = line;
  const batches = batchesOf(stack, messages);
  const processes = await startRoles(releases, stack, 'transform', count, cpuProfileDir, run);
  const before = await usagesOf(processes);
  const startedAt = performance.now();
  await Promise.all(batches.map((batch) => line.transform.add(batch)));
  const isDone = async (): Promise<boolean> => (await line.load.backlog()).waiting >= batches.length;
  await until(isDone, { messages, processes, signal, pollMs: POLL_MS });
  return stageRun(before, await usagesOf(processes), startedAt);
}

/** Its process begins as soon as it is up: what it had used when it said so is its start. */
async function loadStage(
  releases: Releases,
  { stack, committed }: Line,
  { messages, run, cpuProfileDir, signal }: RunOptions,
): Promise<StageRun> {
  const processes = await startRoles(releases, stack, 'load', 1, cpuProfileDir, run);
  const startedAt = performance.now();
  const before = await usagesOf(processes);
  const batches = Math.ceil(messages / stack.pipeline.batch.maxMessages);
  const isDone = async (): Promise<boolean> => (await committed()) >= batches;
  await until(isDone, { messages, processes, signal, pollMs: POLL_MS });
  return stageRun(before, await usagesOf(processes), startedAt);
}

/** So many processes of a role, ready for work. */
export function startRoles(
  releases: Releases,
  stack: Stack,
  role: 'transform' | 'load',
  count: number,
  cpuProfileDir: string | null,
  run: number,
): Promise<readonly RoleProcess[]> {
  return Promise.all(
    Array.from({ length: count }, (_, n) =>
      startRole(stack, releases, role, profilerArgs(cpuProfileDir, `${role}-${run}-${n + 1}`)),
    ),
  );
}

const usagesOf = (processes: readonly RoleProcess[]): Promise<readonly Usage[]> =>
  Promise.all(processes.map(({ pid }) => readUsage(pid)));

function stageRun(before: readonly Usage[], after: readonly Usage[], startedAt: number): StageRun {
  const ms = performance.now() - startedAt;
  const sum = (usages: readonly Usage[]): number =>
    usages.reduce((total, { cpuMicros }) => total + cpuMicros, 0);
  return {
    cpuMicros: sum(after) - sum(before),
    ms,
    peakRssBytes: Math.max(...after.map((usage) => usage.peakRssBytes)),
  };
}

/** As an ingester forms them of messages that have just been sent. */
export function batchesOf({ pipeline }: Stack, messages: number): readonly Batch[] {
  const now = Date.now();
  const runId = systemClock.id();
  const bodies = [...loginEvents(messages, seededRandom(SEED))].map((event) => JSON.stringify(event));
  const batches: Batch[] = [];
  for (let from = 0; from < bodies.length; from += pipeline.batch.maxMessages) {
    const part = bodies.slice(from, from + pipeline.batch.maxMessages);
    const ids = part.map(() => randomUUID());
    batches.push({
      batchId: systemClock.id(),
      runId,
      pipeline: pipeline.name,
      messages: ids.map((messageId) => ({ messageId, sentAt: now, receivedAt: now, attributes: {} })),
      records: part.map((body, message) => ({ id: ids[message] ?? '', message, body })),
    });
  }
  return batches;
}
