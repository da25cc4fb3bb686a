import type { PipelineError } from '../errors.js';

/** Something that is wrong, or doubtful, and what to do about it. */
export interface Trouble {
  readonly severity: 'error' | 'warning';
  /** Null: it is about the whole deployment. */
  readonly pipeline: string | null;
  /** What, and where, in configured names and in numbers. */
  readonly found: string;
  /** The command to run, or the key to change. */
  readonly remedy: string;
}

/** What a check found; `unseen` says what it could not look at, and why. */
export interface Verdict {
  readonly troubles: readonly Trouble[];
  readonly unseen: readonly string[];
}

/** Nothing is wrong. */
export const GOOD: Verdict = { troubles: [], unseen: [] };

/** The verdicts as one. */
export function together(verdicts: readonly Verdict[]): Verdict {
  return {
    troubles: verdicts.flatMap((verdict) => verdict.troubles),
    unseen: [...new Set(verdicts.flatMap((verdict) => verdict.unseen))],
  };
}

/** Something that keeps things from working. */
export function error(found: string, remedy: string, pipeline: string | null = null): Verdict {
  return { troubles: [{ severity: 'error', pipeline, found, remedy }], unseen: [] };
}

/** Something that works, until it is needed. */
export function warning(found: string, remedy: string, pipeline: string | null = null): Verdict {
  return { troubles: [{ severity: 'warning', pipeline, found, remedy }], unseen: [] };
}

/** What could not be looked at, and why. */
export function unseen(why: string): Verdict {
  return { troubles: [], unseen: [why] };
}

/** The same of what gave no answer. */
export function unanswered(what: string, { code }: PipelineError): Verdict {
  return unseen(`${what} (${code})`);
}
