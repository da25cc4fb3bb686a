// The last resort: a thread that ends the process when its main thread answers nothing any more, as in an endless loop
// or a native call that does not return. No other thread, no handler of signals and no probe could: they would need the
// loop that does not turn. Docker and pm2 act on no failed probe, and whoever else would sees a process that lives.

import { writeSync } from 'node:fs';
import { url as inspectorUrl } from 'node:inspector';
import { fileURLToPath } from 'node:url';
import { Worker, workerData } from 'node:worker_threads';
import type { Service } from '../lifecycle.js';

/** What both threads have in hand. */
interface Pulse extends Required<WatchdogOptions> {
  /** How often the main thread's loop has turned, and whether somebody debugs it and may hold it. */
  readonly beats: Int32Array<SharedArrayBuffer>;
}

const ENTRY = fileURLToPath(new URL('../../workers/watchdog.js', import.meta.url));
const BEAT_MS = 5_000;
/** What the process does in one go takes milliseconds; a start on a machine that swaps, seconds. */
const LIMIT_BEATS = 12;
/** It has a number to compare: what the rest of V8's defaults would reserve is for others. */
const MEMORY = { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 1, codeRangeSizeMb: 4, stackSizeMb: 1 };
const [TURNS, DEBUGGED] = [0, 1];
const STDERR = 2;

/** How the main thread is watched; the defaults make a minute. */
export interface WatchdogOptions {
  readonly role: string;
  readonly beatMs?: number;
  readonly limitBeats?: number;
}

/**
 * Ends this process by SIGKILL, after a line in the log, when its event loop has not turned for a minute. The minute is
 * counted in beats of the watching thread, not by a clock: while the whole process is stopped, or the machine sleeps,
 * nobody counts.
 */
export function startWatchdog({
  role,
  beatMs = BEAT_MS,
  limitBeats = LIMIT_BEATS,
}: WatchdogOptions): Service {
  const beats = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
  const pulse: Pulse = { beats, limitBeats, beatMs, role };
  const thread = new Worker(ENTRY, { workerData: pulse, resourceLimits: MEMORY, env: {}, execArgv: [] });
  // Where it can't live, as for want of memory, the process goes on without.
  thread.on('error', () => undefined);
  thread.unref();
  const timer = setInterval(() => {
    Atomics.add(beats, TURNS, 1);
    Atomics.store(beats, DEBUGGED, inspectorUrl() === undefined ? 0 : 1);
  }, beatMs).unref();
  return {
    stop: async () => {
      clearInterval(timer);
      await thread.terminate();
    },
  };
}

/** The other side of `startWatchdog`; runs in its thread until that ends. */
export function watchMainThread(): void {
  const pulse: unknown = workerData;
  if (!isPulse(pulse)) throw new TypeError('this runs in a thread that a process has started to watch it');
  const { beats, limitBeats, beatMs, role } = pulse;
  let seen = -1;
  let missed = 0;
  setInterval(() => {
    const turns = Atomics.load(beats, TURNS);
    missed = turns === seen && Atomics.load(beats, DEBUGGED) === 0 ? missed + 1 : 0;
    seen = turns;
    if (missed < limitBeats) return;
    const line = {
      level: 'error',
      time: new Date().toISOString(),
      pid: process.pid,
      role,
      event: 'hung',
      loops: ['event loop'],
      ms: missed * beatMs,
      remedy: 'none needed where something starts it again; look for what was logged before, and report it',
    };
    try {
      // Past the streams, which are the main thread's.
      writeSync(STDERR, `${JSON.stringify(line)}\n`);
    } finally {
      process.kill(process.pid, 'SIGKILL');
    }
  }, beatMs);
}

/** It comes from `startWatchdog`, in the same process. */
function isPulse(value: unknown): value is Pulse {
  return typeof value === 'object' && value !== null && 'beats' in value && value.beats instanceof Int32Array;
}
