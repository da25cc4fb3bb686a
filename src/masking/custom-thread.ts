import { PipelineError } from '../errors.js';
import { Blocking } from './blocking.js';
import type { Answer, Place, Result, Unfit, Usage } from './custom-exchange.js';
import type { CustomFiles } from './custom-files.js';
import { CustomLine, type Silence } from './custom-line.js';
import { reasonOf } from './custom-unfit.js';

/** Which text a masker is given: docs/masking.md. */
export type Input = 'canonical' | 'as_sent';

/** How long a masker may hold the event loop up, in ms. */
export interface CallLimits {
  /** By one call. */
  readonly timeoutMs: number;
  /** By all calls, until the loop turns again. */
  readonly blockMs: number;
}

/** What a masker makes of values: one result for each, and where it threw first, as far as that is known. */
export interface Answered {
  readonly results: readonly Result[];
  readonly place: Place | null;
}

/** A masker gave no answer: it hung, or ended its thread. Tells nothing of the values. */
class MaskerError extends Error {
  override readonly name = 'MaskerError';
}

/** A start takes a quarter of a second with TypeScript, and longer with a dictionary that it reads. */
const START_MS = 20_000;

const blocking = new Blocking();
const threads = new Map<string, MaskerThread>();

/** The thread of a masker in this process: one for a file, however many columns it masks. `file` is its name in messages. */
export function threadOf(path: string, file: string, files: CustomFiles): MaskerThread {
  const key = `${files.sha256} ${path}`;
  const thread = threads.get(key) ?? new MaskerThread(file, files);
  threads.set(key, thread);
  return thread;
}

/**
 * The thread that runs a masker, started anew when it has hung or ended. It is waited for asleep, so that masking stays
 * one synchronous step.
 */
export class MaskerThread {
  readonly #file: string;
  readonly #files: CustomFiles;
  readonly #usages: { readonly usage: Usage; input: Input }[] = [];
  #line: CustomLine | null = null;
  #isLoaded = false;
  /** How many of the usages the thread of now knows. */
  #known = 0;
  /** Whether it has had values: what is wrong with it may be the doing of earlier ones. */
  #isUsed = false;

  constructor(file: string, files: CustomFiles) {
    this.#file = file;
    this.#files = files;
  }

  /** Starts the thread if need be. Throws `config_invalid` when the masker is not fit for this use of it. */
  prepare(usage: Usage): { readonly use: number; readonly input: Input } {
    const known = this.#usages.findIndex((one) => isSame(one.usage, usage));
    if (known !== -1) return { use: known, input: this.#usages[known]?.input ?? 'canonical' };
    // What values have left behind there is not to be in its way.
    if (this.#isUsed) this.#end();
    const prepared: { readonly usage: Usage; input: Input } = { usage, input: 'canonical' };
    const use = this.#usages.push(prepared) - 1;
    const wrong = blocking.during(() => this.#getReady(performance.now() + START_MS));
    if (wrong === null) return { use, input: prepared.input };
    // Another column may use the file as it should be used.
    this.#usages.pop();
    this.#end();
    throw new PipelineError('config_invalid', this.#say(usage, reasonOf(wrong, START_MS)));
  }

  /**
   * What the masker makes of each value. Throws `MaskerError` when it gives no answer to them: then they are to be
   * tried one by one. `areBlamed`: what can't be divided is to blame only if no other values came before it, and is
   * tried again in a new thread. Throws `masker_stuck` when the event loop has to turn before more can be tried, or
   * the thread does not start again: that is no value's fault.
   */
  mask(use: number, values: readonly string[], areBlamed: boolean, limits: CallLimits): Answered {
    const isFresh = !this.#isUsed;
    const results =
      this.#ask(use, values, limits) ?? (areBlamed && !isFresh ? this.#ask(use, values, limits) : null);
    if (results === null) throw new MaskerError(`the masker ${this.#file} gave no answer`);
    return results;
  }

  /** Null: there was no answer, and the thread is started anew. */
  #ask(use: number, values: readonly string[], { timeoutMs, blockMs }: CallLimits): Answered | null {
    const until = performance.now() + blockMs - blocking.ms;
    return blocking.during(() => {
      const wrong = this.#getReady(until);
      const leftMs = until - performance.now();
      if (wrong !== null || leftMs <= 0) throw this.#stuck(use, wrong);
      this.#isUsed = true;
      const answer = this.#line?.ask({ kind: 'mask', use, values }, Math.min(timeoutMs, leftMs)) ?? 'ended';
      const results = typeof answer === 'string' ? null : soundAnswer(answer, values.length);
      if (results !== null) return results;
      // At once, so that it is there when it is needed.
      this.#end();
      this.#start();
      if (answer === 'overdue' && leftMs < timeoutMs) throw this.#stuck(use, null);
      return null;
    });
  }

  /** A thread that knows all usages; or why there is none. One that only needs longer to start is let go on. */
  #getReady(until: number): Unfit | Silence | null {
    if (this.#line === null || (this.#isLoaded && this.#line.hasEnded)) this.#start();
    const leftMs = (): number => Math.max(0, until - performance.now());
    let wrong = this.#isLoaded ? null : faultOf(this.#line?.answer(leftMs()));
    if (wrong === 'overdue') return wrong;
    this.#isLoaded = true;
    for (let use = this.#known; wrong === null && use < this.#usages.length; use += 1) {
      const one = this.#usages[use];
      if (!one) continue;
      const answer = this.#line?.ask({ kind: 'prepare', use, usage: one.usage }, leftMs());
      wrong = faultOf(answer);
      if (typeof answer === 'object' && answer.kind === 'prepared') one.input = answer.input;
      this.#known = use + 1;
    }
    if (wrong !== null) this.#end();
    return wrong;
  }

  #start(): void {
    this.#line = new CustomLine(this.#files.files);
    this.#isLoaded = false;
    this.#known = 0;
    this.#isUsed = false;
  }

  #end(): void {
    this.#line?.end();
    this.#line = null;
  }

  #stuck(use: number, wrong: Unfit | Silence | null): PipelineError {
    const reason =
      wrong === null || wrong === 'overdue'
        ? 'holds the process up for too long: let it do less, or lower batch.max_messages'
        : `does not start again: ${reasonOf(wrong, START_MS)}`;
    const usage = this.#usages[use]?.usage;
    return new PipelineError('masker_stuck', this.#say(usage, reason));
  }

  #say(usage: Usage | undefined, reason: string): string {
    return `column ${usage?.column ?? ''}: the masker ${this.#file} ${reason}`;
  }
}

function isSame(one: Usage, other: Usage): boolean {
  const isSameKey =
    one.key !== null && other.key !== null ? one.key.equals(other.key) : one.key === other.key;
  const rest = ({ key: _, ...plain }: Usage): string => JSON.stringify(plain);
  return isSameKey && rest(one) === rest(other);
}

/** What is wrong with an answer to a start; null when nothing is. */
function faultOf(answer: Answer | Silence | undefined): Unfit | Silence | null {
  if (answer === undefined) return 'ended';
  return typeof answer === 'string' || answer.kind === 'unfit' ? answer : null;
}

/** One result for each value; what a masker has broken in its own thread is no answer. */
function soundAnswer(answer: Answer, count: number): Answered | null {
  if (answer.kind !== 'masked') return null;
  const results: unknown = answer.results;
  const isSound = Array.isArray(results) && results.length === count && results.every(isResult);
  return isSound ? { results, place: answer.place } : null;
}

function isResult(result: unknown): result is Result {
  return typeof result === 'string' || result === null || result === false;
}
