import type { Clock } from '../clock.js';
import type { Schedule } from '../config/config.js';
import { asPipelineError } from '../errors.js';
import type { Service, StopMode } from '../lifecycle.js';
import type { ScheduleLog } from '../load/schedules.js';
import type { Deployment } from './deployment.js';
import { BROKEN_DOWN, type IngesterParts, type RunRequest, type StopSignals, ingest } from './ingester.js';
import { startSchedule } from './schedule.js';

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
  const { name, schedule } = parts.pipeline;
  const soft = new AbortController();
  const hard = new AbortController();
  const stop: StopSignals = { soft: soft.signal, hard: hard.signal };
  const tick = async (request: RunRequest): Promise<boolean> => {
    let at = clock.now();
    let ok = false;
    let ran = false;
    let isPaused = false;
    try {
      isPaused = (await schedules.read(name)).pausedAt !== null;
      if (isPaused) return ran;
      const { state, startedAt } = await ingest(parts, request, stop);
      ok = state === 'succeeded';
      at = startedAt;
      ran = true;
    } catch (error) {
      if (stop.soft.aborted) return ran;
      log.error({ event: 'run_error', pipeline: name, error: asPipelineError(error) });
      onError(error);
    } finally {
      // A pause is no failure.
      if (!isPaused) events.emit('schedule_tick', { pipeline: name, at, ok });
    }
    return ran;
  };
  const running = await startBySchedule(deployment, name, schedule, schedules, { tick, stop });
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

/** Carries out one run; false when it failed, or when there was to be none. Never rejects. */
type Tick = (request: RunRequest) => Promise<boolean>;

async function startBySchedule(
  { clock, events, log, onWait }: Deployment,
  pipeline: string,
  schedule: Schedule | null,
  book: ScheduleLog,
  { tick, stop }: { readonly tick: Tick; readonly stop: StopSignals },
): Promise<Service> {
  if (schedule === null) {
    log.info({ event: 'no_schedule', pipeline }, 'it has no schedule: only `maskline drain` runs it');
    return { stop: async () => undefined };
  }
  if (schedule.kind === 'continuous') return runContinuously(clock, tick, stop);
  const once = async (): Promise<void> => {
    await tick({ trigger: 'schedule', mode: 'until_empty' });
  };
  return startSchedule({ pipeline, schedule, book, tick: once, clock, events, onWait });
}

/** One run after the other; the next begins to receive while the one before waits for its last batches. */
function runContinuously(clock: Clock, tick: Tick, stop: StopSignals): Service {
  const limits = { maxRecords: CONTINUOUS_RUN_RECORDS, maxMs: CONTINUOUS_RUN_MS };
  const finishing = new Set<Promise<boolean>>();
  const loop = async (): Promise<void> => {
    while (!stop.soft.aborted) {
      let received: (ok: true) => void = () => undefined;
      const hasReceived = new Promise<true>((resolve) => {
        received = resolve;
      });
      const request = {
        trigger: 'schedule',
        mode: 'continuous',
        ...limits,
        onReceived: () => received(true),
      } as const;
      const run = tick(request);
      finishing.add(run);
      void run.then(() => finishing.delete(run));
      const ok = await Promise.race([hasReceived, run]);
      if (!ok) await clock.sleep(FAILED_RUN_PAUSE_MS, stop.soft);
    }
  };
  const looping = loop();
  return {
    stop: async () => {
      await looping;
      await Promise.all(finishing);
    },
  };
}
