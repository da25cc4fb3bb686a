import type { Logger } from '../ops/logger.js';
import type { EventBus } from '../ops/events.js';
import type { StatusLine } from './status-line.js';

/** How far something is; `total` is null where nobody knows. */
export interface Standing {
  readonly what: string;
  readonly done: number;
  readonly total: number | null;
}

/** Tells whoever waits how far something long is. */
export interface Progress {
  /** What is going on, and how far it is; without a count, only for how long. */
  at(what: string, done?: number, total?: number | null): void;
  /** It has ended; the line goes. Safe twice. */
  end(): void;
}

/** As often as people can read it. */
const DRAW_EVERY_MS = 250;
/** A line in a log each time. */
const LOG_EVERY_MS = 5_000;
const BAR_WIDTH = 24;

/**
 * On a terminal a bar on stderr; elsewhere a line `progress` in the log every 5 s. What is over sooner says nothing.
 * Without a log, nothing is said off a terminal.
 */
export function openProgress(line: StatusLine, log: Pick<Logger, 'info'> | null): Progress {
  const startedAt = performance.now();
  let standing: Standing | null = null;
  const tell = (): void => {
    if (standing === null) return;
    const ms = performance.now() - startedAt;
    if (line.isTerminal) return line.show(progressText(standing, ms));
    const { what, done, total } = standing;
    const counts = total === null ? { done } : { done, total };
    log?.info({ event: 'progress', ms: Math.round(ms), ...(done > 0 ? { counts } : {}) }, what);
  };
  const timer = setInterval(tell, line.isTerminal ? DRAW_EVERY_MS : LOG_EVERY_MS);
  // Who waits for something holds the process; this does not.
  timer.unref();
  return {
    at: (what, done = 0, total = null) => {
      standing = { what, done, total };
    },
    end: () => {
      clearInterval(timer);
      standing = null;
      line.show('');
    },
  };
}

/** What is shown: `logins ████░░░░ 50 %  1,000 of 2,000 · 400/s · 3 s`. */
export function progressText({ what, done, total }: Standing, elapsedMs: number): string {
  const seconds = Math.floor(elapsedMs / 1_000);
  const rate = done > 0 && seconds > 0 ? [`${count(Math.round((done * 1_000) / elapsedMs))}/s`] : [];
  const tail = [...rate, `${seconds} s`].join(' · ');
  if (total === null || total <= 0)
    return done > 0 ? `${what}  ${count(done)} · ${tail}` : `${what}  ${tail}`;
  const share = Math.min(1, done / total);
  const full = Math.floor(share * BAR_WIDTH);
  const bar = '█'.repeat(full) + '░'.repeat(BAR_WIDTH - full);
  return `${what}  ${bar} ${Math.floor(share * 100)} %  ${count(done)} of ${count(total)} · ${tail}`;
}

/** Counts records as batches are loaded; their total is what is known of it, or else what was received so far. */
export function followBatches(
  progress: Progress,
  events: EventBus,
  { what, expected }: { readonly what: string; readonly expected: number | null },
): void {
  let received = 0;
  let done = 0;
  const tell = (): void => progress.at(what, done, Math.max(expected ?? 0, received, done) || null);
  events.on('messages_received', ({ messages }) => {
    received += messages;
    tell();
  });
  events.on('batch_loaded', ({ received: records }) => {
    done += records;
    tell();
  });
  tell();
}

function count(n: number): string {
  return n.toLocaleString('en');
}
