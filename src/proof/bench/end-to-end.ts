// From SQS to committed rows and deleted messages, with a process for each role, and the floor of the same messages.

import type { Releases } from '../../lifecycle.js';
import { type PostgresPool, createPool } from '../../load/connection.js';
import { createScheduleLog } from '../../load/schedules.js';
import { type RoleProcess, profilerArgs, runCommand, startRole } from './cli-process.js';
import { checkOutcome, received, until, wallMs } from './drained.js';
import type { Figures } from './figures.js';
import { FLOOR, type HttpClient, type OtherUsage, measureOther } from './other.js';
import type { RunOptions } from './profiles.js';
import { type ServerName, type Stack, type StackOptions, serverNames, startStack } from './stack.js';
import { type Usage, readUsage } from './usage.js';

/** maskline's own processes, in the order of the flow. */
const ROLES = ['ingest', 'transform', 'load'] as const;

type Usages = Readonly<Record<(typeof ROLES)[number] | ServerName, Usage>>;

/** A run's processes, ready and idle, and what they had used by then. */
export interface Fleet {
  readonly stack: Stack;
  readonly pool: PostgresPool;
  readonly processes: readonly RoleProcess[];
  readonly before: Usages;
  /** What each has used by now. */
  readonly usages: () => Promise<Usages>;
  /** Lets the next tick drain the queue. */
  readonly go: () => Promise<void>;
}

/** Starts servers, fills the queue, and starts one process of each role; none receives before `go`. */
export async function startFleet(
  releases: Releases,
  options: StackOptions & Pick<RunOptions, 'run' | 'cpuProfileDir'>,
): Promise<Fleet> {
  const stack = await startStack(releases, options);
  await runCommand(stack, 'migrate');
  const pool = await releases.acquire(
    createPool({ url: stack.databaseUrl, applicationName: 'maskline-bench', max: 1 }),
    (open) => open.close(),
  );
  const schedules = createScheduleLog(pool);
  // Roles come up without receiving, so that what that costs can be told from the work.
  await schedules.pause(stack.pipeline.name, 'until every role is ready');
  const start = (role: (typeof ROLES)[number]): Promise<RoleProcess> =>
    startRole(stack, releases, role, profilerArgs(options.cpuProfileDir, `${role}-${options.run}`));
  const [ingest, transform, load] = await Promise.all([start('ingest'), start('transform'), start('load')]);
  const usages = async (): Promise<Usages> => ({
    ingest: await readUsage(ingest.pid),
    transform: await readUsage(transform.pid),
    load: await readUsage(load.pid),
    postgres: await readUsage(stack.pids.postgres),
    redis: await readUsage(stack.pids.redis),
    sqs_emulator: await readUsage(stack.pids.sqs_emulator),
  });
  return {
    stack,
    pool,
    processes: [ingest, transform, load],
    before: await usages(),
    usages,
    go: () => schedules.resume(stack.pipeline.name),
  };
}

/** maskline over all messages, and then the floor program over as many of another queue. */
export async function measureEndToEnd(releases: Releases, options: RunOptions): Promise<Figures> {
  const fleet = await startFleet(releases, { ...options, others: 2 });
  const drained = await drain(fleet, options);
  const floor = (queue: number, client: HttpClient): Promise<OtherUsage> =>
    measureOther(releases, { script: FLOOR, queue, client }, fleet.stack, fleet.pool, options);
  const http = await floor(0, 'node:http');
  const undici = await floor(1, 'undici');
  return figuresOf({ ...drained, floorMicros: http.cpuMicros, undiciFloorMicros: undici.cpuMicros });
}

/**
 * Drains the queue. Throws, without figures, when a process fails, when it takes far too long, and when rows, ledger
 * and queue don't account for every message.
 */
export async function drain(
  fleet: Fleet,
  { messages, signal }: Pick<RunOptions, 'messages' | 'signal'>,
): Promise<Drained> {
  const { stack, pool, processes, before } = fleet;
  await fleet.go();
  await until(
    async () => {
      const now = await received(pool);
      return now.isIdle && now.messages >= messages;
    },
    { messages, processes, signal },
  );
  const after = await fleet.usages();
  await checkOutcome(stack, pool);
  return { messages, before, after, wallMs: await wallMs(pool) };
}

/** What one run has measured, before any arithmetic. */
export interface Drained {
  readonly messages: number;
  /** When every role was ready and none had received. */
  readonly before: Usages;
  /** When all was committed and deleted from SQS. */
  readonly after: Usages;
  /** From the first receive to the last commit. */
  readonly wallMs: number;
}

/** CPU of all of maskline's processes per message, in µs. */
export function cpuPerMessage({ messages, before, after }: Drained): number {
  return ROLES.reduce((sum, role) => sum + after[role].cpuMicros - before[role].cpuMicros, 0) / messages;
}

/** What the floor program has taken per message, with Node's own HTTP client and with the leanest that is known. */
interface Floors {
  readonly floorMicros: number;
  readonly undiciFloorMicros: number;
}

/** CPU without start-up, which is told apart; servers are in no sum. */
export function figuresOf({ floorMicros, undiciFloorMicros, ...drained }: Drained & Floors): Figures {
  const { messages, before, after } = drained;
  const perMessage = (name: keyof Usages): number =>
    (after[name].cpuMicros - before[name].cpuMicros) / messages;
  const all = cpuPerMessage(drained);
  const ofRoles = (unit: string, value: (role: (typeof ROLES)[number]) => number): [string, number][] =>
    ROLES.map((role) => [`${role}_${unit}`, value(role)]);
  return {
    cpu_us_per_message: all,
    floor_cpu_us_per_message: floorMicros,
    times_the_floor: all / floorMicros,
    undici_floor_cpu_us_per_message: undiciFloorMicros,
    times_the_undici_floor: all / undiciFloorMicros,
    ...Object.fromEntries(ofRoles('cpu_us_per_message', perMessage)),
    transform_and_load_cpu_us_per_message: perMessage('transform') + perMessage('load'),
    ...Object.fromEntries(serverNames.map((name) => [`${name}_cpu_us_per_message`, perMessage(name)])),
    messages_per_second: messages / (drained.wallMs / 1_000),
    ...Object.fromEntries(ofRoles('peak_rss_mib', (role) => after[role].peakRssBytes / 2 ** 20)),
    ...Object.fromEntries(ofRoles('start_up_cpu_ms', (role) => before[role].cpuMicros / 1_000)),
  };
}
