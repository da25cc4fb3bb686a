import { setTimeout as delay } from 'node:timers/promises';
import { uuidv7 } from 'uuidv7';

/** Time and randomness, so that a simulation can own both. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds since some moment. It never goes back, whoever sets the wall clock: for deadlines and pauses. */
  elapsed(): number;
  /** Resolves after `ms`, or at once (never rejects) when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Uniform in [0, 1). For jitter only, never for keys. */
  random(): number;
  /** A new UUIDv7 (RFC 9562): ids that sort by the time they were made. */
  id(): string;
}

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  sleep: async (ms, signal) => {
    if (signal?.aborted) return;
    await delay(ms, undefined, signal ? { signal } : {}).catch(() => undefined);
  },
  random: () => Math.random(),
  id: () => uuidv7(),
};

/** When an id of `Clock.id` was made, in epoch ms: the first 48 bits of a UUIDv7. Null for any other text. */
export function idTime(id: string): number | null {
  const match = /^([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i.exec(id);
  return match ? Number.parseInt(`${match[1]}${match[2]}`, 16) : null;
}

/** Exponential back-off with half jitter: attempt 1 waits about `baseMs`, doubling up to `maxMs`. */
export function backoffMs(clock: Clock, attempt: number, baseMs: number, maxMs: number): number {
  const full = Math.min(maxMs, baseMs * 2 ** (attempt - 1));
  return full * (0.5 + clock.random() / 2);
}
