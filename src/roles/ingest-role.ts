import type { Clock } from '../clock.js';
import type { Schedule } from '../config/config.js';
import { asPipelineError } from '../errors.js';
import type { Service, StopMode } from '../lifecycle.js';
import type { ScheduleLog } from '../load/schedules.js';
import type { Deployment } from './deployment.js';
import { BROKEN_DOWN, type IngesterParts, type RunRequest, type StopSignals, ingest } from './ingester.js';
import { type Turn, type Turns, everybodys } from './lease.js';
import { type TickTrigger, startSchedule } from './schedule.js';
import { nextPauseAt, pausedUntil } from './slots.js';

/** `continuous` cuts a run at the first of these, so that reports come regularly. */
const CONTINUOUS_RUN_MS = 60_000;
const CONTINUOUS_RUN_RECORDS = 100_000;
/** After a run that failed at once, the next one waits so long. */
const FAILED_RUN_PAUSE_MS = 5_000;

/** An ingester at work. */
export interface IngestService extends Service {
  /** Stops hard, since the pipeline has broken down: the runs under way end as failed, not as canceled. */
  breakDown(): Promise<void>;
}

/** Runs one pipeline by its schedule until stopped; without a schedule it never runs. `onError` hears of failed runs. */
export async function startIngest(
  deployment: Deployment,
  parts: IngesterParts,
  schedules: ScheduleLog,
  onError: (error: unknown) => void,
): Promise<IngestService> {
  const { clock, events, log } = deployment;
  const { name } = parts.pipeline;
  const soft = new AbortController();
  const hard = new AbortController();
  const stop: StopSignals = { soft: soft.signal, hard: hard.signal };
  const failed = (error: unknown): void => {
    if (stop.soft.aborted) return;
    log.error({ event: 'run_error', pipeline: name, error: asPipelineError(error) });
    onError(error);
  };
  const tick = async (request: RunRequest): Promise<boolean> => {
    let at = clock.now();
    let ok = false;
    let isHeard = true;
    try {
      // A pause is no failure.
      isHeard = (await schedules.read(name)).pausedAt === null;
      if (!isHeard) return false;
      const { state, startedAt } = await ingest(parts, request, stop);
      ok = state === 'succeeded';
      at = startedAt;
      return true;
    } catch (error) {
      isHeard = !stop.soft.aborted;
      failed(error);
      return false;
    } finally {
      if (isHeard) events.emit('schedule_tick', { pipeline: name, at, ok });
    }
  };
  const running = await startBySchedule(deployment, parts, schedules, { tick, failed, stop });
  return {
    stop: async (mode: StopMode = 'soft') => {
      soft.abort();
      if (mode === 'hard') hard.abort();
      await running.stop();
    },
    breakDown: async () => {
      soft.abort(BROKEN_DOWN);
      hard.abort();
      await running.stop();
    },
  };
}

/** How runs are made, and stopped. */
interface Running {
  /** Carries out one run; false when it failed, or when there was to be none. Never rejects. */
  readonly tick: (request: RunRequest) => Promise<boolean>;
  /** Hears why there was no run. */
  readonly failed: (error: unknown) => void;
  readonly stop: StopSignals;
}

async function startBySchedule(
  { clock, events, log, onWait }: Deployment,
  { pipeline: { name, schedule }, lease }: Pick<IngesterParts, 'pipeline' | 'lease'>,
  book: ScheduleLog,
  running: Running,
): Promise<Service> {
  if (schedule === null) {
    log.info({ event: 'no_schedule', pipeline: name }, 'it has no schedule: only `maskline drain` runs it');
    return { stop: async () => undefined };
  }
  const turns = lease ?? everybodys;
  if (schedule.kind === 'continuous') return runContinuously(clock, schedule, turns, running);
  const once = async (trigger: TickTrigger): Promise<void> => {
    const turn = await nextTurn(turns, 'once', running);
    if (turn === null) return;
    const pauseAt = nextPauseAt(schedule, clock.now());
    await running.tick({
      trigger,
      mode: 'until_empty',
      cut: turn.lost,
      ...(pauseAt === null ? {} : { maxMs: pauseAt - clock.now() }),
    });
    await turn.end();
  };
  const onOverlap = (at: number): void => {
    if (!turns.isStandingBy) events.emit('schedule_overlap', { pipeline: name, at });
  };
  return startSchedule({
    ...{ pipeline: name, schedule, book, clock, onOverlap, onWait },
    tick: once,
    isWanted: () => book.takeRunRequest(name),
  });
}

/** Null when it is not to run. */
async function nextTurn(
  turns: Turns,
  kind: 'once' | 'for_good',
  { failed, stop }: Running,
): Promise<Turn | null> {
  try {
    return await turns.turn(stop.soft, kind);
  } catch (error) {
    failed(error);
    return null;
  }
}

/** One run after the other; the next begins to receive while the one before waits for its last batches. */
function runContinuously(clock: Clock, schedule: Schedule, turns: Turns, running: Running): Service {
  const { tick, stop } = running;
  const finishing = new Set<Promise<boolean>>();
  const oneRun = async (cut: AbortSignal): Promise<void> => {
    const pausedMs = (pausedUntil(schedule, clock.now()) ?? 0) - clock.now();
    if (pausedMs > 0) return clock.sleep(pausedMs, AbortSignal.any([stop.soft, cut]));
    const untilPauseMs = (nextPauseAt(schedule, clock.now()) ?? Infinity) - clock.now();
    let received: (ok: true) => void = () => undefined;
    const hasReceived = new Promise<true>((resolve) => {
      received = resolve;
    });
    const run = tick({
      trigger: 'schedule',
      mode: 'continuous',
      maxRecords: CONTINUOUS_RUN_RECORDS,
      maxMs: Math.min(CONTINUOUS_RUN_MS, untilPauseMs),
      cut,
      onReceived: () => received(true),
    });
    finishing.add(run);
    void run.then(() => finishing.delete(run));
    const ok = await Promise.race([hasReceived, run]);
    if (!ok) await clock.sleep(FAILED_RUN_PAUSE_MS, stop.soft);
  };
  const loop = async (): Promise<void> => {
    while (!stop.soft.aborted) {
      const turn = await nextTurn(turns, 'for_good', running);
      if (turn === null) {
        await clock.sleep(FAILED_RUN_PAUSE_MS, stop.soft);
        continue;
      }
      while (!stop.soft.aborted && !turn.lost.aborted) await oneRun(turn.lost);
      await Promise.all(finishing);
      await turn.end();
    }
  };
  const looping = loop();
  return { stop: () => looping };
}
