import type { Command as Commander } from 'commander';
import { durationMs } from '../config/units.js';
import { PipelineError } from '../errors.js';
import { collect, wholeNumber } from './action.js';

/** Options of commands that work on some of many things: failed jobs, quarantined records. */
export interface SelectionOptions {
  /** Ids; none: by the other options. */
  readonly args?: readonly string[];
  readonly code?: readonly string[];
  /** As `--by-cause` lists it. */
  readonly cause?: string;
  readonly since?: string;
  readonly limit?: number;
  readonly all?: boolean;
}

/** What was asked for. */
export interface Selection {
  readonly ids: readonly string[];
  /** Empty: every code. */
  readonly codes: readonly string[];
  /** Null: of every cause. */
  readonly cause: string | null;
  /** Epoch ms; null: from the beginning. */
  readonly since: number | null;
  readonly limit: number | null;
}

/** Adds `--code`, `--cause`, `--since` and `--limit`. */
export function addSelectionOptions(command: Commander): Commander {
  return command
    .option('--code <code>', 'only those with this code; may be repeated', collect)
    .option('--cause <id>', 'only those of this cause, as `list --by-cause` names it')
    .option('--since <duration or time>', 'only the latest, e.g. 2h or 2026-01-31T12:00:00Z')
    .option('--limit <n>', 'how many at most', wholeNumber);
}

/** What the options of a list ask for. Throws `usage` for a time that can't be read. */
export function readSelection(options: SelectionOptions, now: number): Selection {
  return {
    ids: options.args ?? [],
    codes: options.code ?? [],
    cause: options.cause ?? null,
    since: options.since === undefined ? null : readSince(options.since, now),
    limit: options.limit ?? null,
  };
}

/** What the options of a change ask for: ids, a cause, or `--all` with or without a filter, never everything by mistake. */
export function readTargets(options: SelectionOptions, now: number): Selection {
  const selection = readSelection(options, now);
  if (selection.ids.length > 0 && (options.all || selection.cause !== null)) {
    throw new PipelineError('usage', 'give either ids or --all or --cause, not both');
  }
  if (selection.ids.length === 0 && selection.cause === null && !options.all) {
    throw new PipelineError(
      'usage',
      'name what is meant by id or --cause, or say --all (with --code, --since, --limit)',
    );
  }
  return selection;
}

function readSince(text: string, now: number): number {
  const ms = durationMs(text);
  if (ms !== null) return now - ms;
  const at = /^\d{4}-\d\d-\d\d(T|$)/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isFinite(at)) return at;
  throw new PipelineError(
    'usage',
    '--since must be a duration such as 2h, or a time such as 2026-01-31T12:00:00Z',
  );
}
