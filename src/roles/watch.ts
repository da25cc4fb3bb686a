import type { Clock } from '../clock.js';
import { PipelineError } from '../errors.js';
import type { Service } from '../lifecycle.js';
import type { Logger } from '../ops/logger.js';
import { actionFor } from '../policy.js';

/** What calls wait for, besides this process. */
export type Need = 'postgres' | 'queue' | `sqs ${string}`;

/**
 * Two looks lie further apart than any pause between two tries (20 s, for SQS): whoever can reach its server again has
 * tried by the second one.
 */
const LOOK_EVERY_MS = 30_000;
/** Whoever has not tried again for so long tries no more: it is at rest, though its last call came to nothing. */
const RETRY_GAP_MS = 30_000;

/** Ends a turn, once: with an answer, of whatever kind, or because none came. */
export type EndTurn = (how?: 'answered' | 'silent') => void;

/**
 * Calls of one kind that this process makes over and over, each of them a turn. While none is under way it is at rest,
 * for as long as it likes; it stalls while one goes on and on, or while one after the other gets no answer.
 */
export class Loop {
  readonly name: string;
  readonly need: Need;
  /** Longer than the longest honest turn. */
  readonly limitMs: number;
  readonly #now: () => number;
  readonly #turns = new Set<{ readonly at: number }>();
  #silentSince: number | null = null;
  #silentAt = -Infinity;

  constructor(now: () => number, { name, need, limitMs }: Pick<Loop, 'name' | 'need' | 'limitMs'>) {
    this.#now = now;
    this.name = name;
    this.need = need;
    this.limitMs = limitMs;
  }

  /** Begins a turn. Several may be under way at once. */
  begin(): EndTurn {
    const turn = { at: this.#now() };
    if (this.#turns.size === 0 && turn.at - this.#silentAt > RETRY_GAP_MS) this.#silentSince = null;
    this.#turns.add(turn);
    return (how = 'answered') => {
      if (!this.#turns.delete(turn)) return;
      if (how === 'answered') this.#silentSince = null;
      else {
        this.#silentSince ??= turn.at;
        this.#silentAt = this.#now();
      }
    };
  }

  /** Does the work as a turn. */
  async turn<T>(work: () => Promise<T>): Promise<T> {
    const end = this.begin();
    try {
      const result = await work();
      end();
      return result;
    } catch (error) {
      end(isSilence(error) ? 'silent' : 'answered');
      throw error;
    }
  }

  /** Since when nothing has come of its turns; null when it turns, or is at rest. */
  get stalledSince(): number | null {
    const now = this.#now();
    const isTrying = this.#turns.size > 0 || now - this.#silentAt <= RETRY_GAP_MS;
    const since = isTrying ? (this.#silentSince ?? Infinity) : Infinity;
    const oldest = Math.min(since, ...[...this.#turns].map((turn) => turn.at));
    return oldest === Infinity ? null : oldest;
  }

  /** Whether it has stalled for longer than its limit. */
  get isOverdue(): boolean {
    return this.#now() - (this.stalledSince ?? Infinity) > this.limitMs;
  }
}

/** All the loops of a process. */
export class Loops {
  readonly #now: () => number;
  readonly #loops: Loop[] = [];
  #hung: readonly string[] = [];

  constructor(clock: Pick<Clock, 'elapsed'>) {
    this.#now = () => clock.elapsed();
  }

  /** Watches calls of that kind from now on. `name` is what people read. */
  watch(options: Pick<Loop, 'name' | 'need' | 'limitMs'>): Loop {
    const loop = new Loop(this.#now, options);
    this.#loops.push(loop);
    return loop;
  }

  get all(): readonly Loop[] {
    return this.#loops;
  }

  /** Names of those that hang: what they need answers others, and them it does not. */
  get hung(): readonly string[] {
    return this.#hung;
  }

  set hung(names: readonly string[]) {
    this.#hung = names;
  }
}

/** How loops are watched. */
export interface WatchOptions {
  readonly loops: Loops;
  /** Whether what is needed answers over a connection of its own, made for this one question. Never rejects. */
  readonly answers: (need: Need) => Promise<boolean>;
  readonly log: Pick<Logger, 'error'>;
  readonly clock: Clock;
  /** Default 30 s. */
  readonly everyMs?: number;
}

/** A watch; `hung` resolves, once, when something hangs, after that is in the log. */
export interface Watch extends Service {
  readonly hung: Promise<void>;
}

/**
 * Tells what hangs from what waits for an outage: a loop that is overdue, though a new connection to what it needs is
 * answered, and is again by the next look, will not get on by itself, be it for a client that never notices that its
 * connection is dead, or for a promise that nobody settles.
 */
export function startWatch({ loops, answers, log, clock, everyMs = LOOK_EVERY_MS }: WatchOptions): Watch {
  const stopped = new AbortController();
  let suspects: ReadonlyMap<Loop, number> = new Map();
  const awayAt = new Map<Need, number>();
  let tell: () => void = () => undefined;
  const hung = new Promise<void>((resolve) => {
    tell = resolve;
  });
  const look = async (): Promise<readonly Loop[]> => {
    const overdue = loops.all.filter((loop) => loop.isOverdue);
    const needs = [...new Set(overdue.map((loop) => loop.need))];
    await Promise.all(
      needs.map(async (need) => {
        if (!(await answers(need))) awayAt.set(need, clock.elapsed());
      }),
    );
    const found = new Map<Loop, number>();
    for (const loop of overdue) {
      const since = loop.stalledSince;
      // After an outage it has as long again as a turn may take.
      const thereMs = clock.elapsed() - (awayAt.get(loop.need) ?? -Infinity);
      if (since !== null && thereMs > loop.limitMs) found.set(loop, since);
    }
    const twice = [...found].filter(([loop, since]) => suspects.get(loop) === since);
    suspects = found;
    return twice.map(([loop]) => loop);
  };
  const watching = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      await clock.sleep(everyMs, stopped.signal);
      if (stopped.signal.aborted) return;
      const hanging = await look();
      if (hanging.length === 0) continue;
      loops.hung = hanging.map((loop) => loop.name);
      const since = Math.min(...hanging.map((loop) => loop.stalledSince ?? clock.elapsed()));
      log.error(
        {
          event: 'hung',
          loops: loops.hung,
          ms: Math.round(clock.elapsed() - since),
          remedy: 'none needed where something starts it again: pm2, a restart policy, Kubernetes',
        },
        'what these wait for answers others, and them it does not: the process ends',
      );
      return tell();
    }
  };
  const done = watching();
  return {
    hung,
    stop: async () => {
      stopped.abort();
      await done;
    },
  };
}

/** An error answer of a server shows that the connection is alive; only an outage without one counts as silence. */
export function isSilence(error: unknown): boolean {
  if (!(error instanceof PipelineError) || actionFor(error) !== 'wait') return false;
  let cause = error.cause;
  while (cause instanceof Error) {
    if (isAnswer(cause)) return false;
    cause = cause.cause;
  }
  return true;
}

/** Classes of SQLSTATE (PostgreSQL docs, appendix A). Node's codes begin with E. */
const SQLSTATE = /^(?:[0-9]{2}|F0|HV|P0|XX)[0-9A-Z]{3}$/;

function isAnswer(error: Error): boolean {
  if (error.name === 'ReplyError') return true;
  if ('code' in error && typeof error.code === 'string' && SQLSTATE.test(error.code)) return true;
  if (!('$metadata' in error)) return false;
  const metadata = error.$metadata;
  return typeof metadata === 'object' && metadata !== null && 'httpStatusCode' in metadata;
}
