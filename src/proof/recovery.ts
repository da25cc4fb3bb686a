import type { PostgresPool } from '../load/connection.js';
import type { Life } from './fleet.js';
import { type Outage, wasDisturbed } from './nemesis.js';

/** Budget of a kill of a transform or load worker with the default locks: 15 s, and 4 s until the next look. */
export const RECOVERY_BUDGET_MS = 20_000;

/** How soon work went on after kills, in ms. */
export interface Recovery {
  /** Kills after which something was left to commit. */
  readonly kills: number;
  /** From a kill to the next commit, by whichever worker. */
  readonly next_commit: Spread | null;
  /** From a kill to the fate of a batch that the killed worker had in hand. */
  readonly batch_in_hand: Spread | null;
  /**
   * Kills of transform and load workers with a batch in hand after which nothing else failed before the next commit:
   * the budget is for these, and `over_budget` of them exceeded it.
   */
  readonly undisturbed: number;
  readonly over_budget: number;
}

interface Spread {
  readonly median: number;
  readonly p95: number;
  readonly max: number;
}

interface Fated {
  readonly batch_id: string;
  readonly at: number;
}

/** Reads from the fates of the batches how soon work went on. */
export async function recoveryOf(
  pool: PostgresPool,
  pipeline: string,
  lives: readonly Life[],
  outages: readonly Outage[],
): Promise<Recovery> {
  const { rows } = await pool.query<Fated>(
    `select batch_id, extract(epoch from loaded_at)::float8 * 1000 as at from maskline.loads
      where pipeline = $1 and loaded_at is not null order by loaded_at`,
    [pipeline],
  );
  const fates = new Map(rows.map(({ batch_id, at }) => [batch_id, at]));
  const times = rows.map(({ at }) => at);
  const next: number[] = [];
  const inHand: number[] = [];
  let undisturbed = 0;
  let overBudget = 0;
  for (const life of lives) {
    const { role, endedAt, end, unfinished } = life;
    if (endedAt === null || (end !== 'killed' && end !== 'crashed')) continue;
    const after = firstAfter(times, endedAt);
    if (after === null) continue;
    const ms = after - endedAt;
    next.push(ms);
    const isDisturbed =
      wasDisturbed(outages, endedAt, after) ||
      lives.some((other) => other !== life && isWithin(other.endedAt, endedAt, after));
    if (role !== 'ingest' && (unfinished?.batchIds.length ?? 0) > 0 && !isDisturbed) {
      undisturbed += 1;
      if (ms > RECOVERY_BUDGET_MS) overBudget += 1;
    }
    for (const batchId of unfinished?.batchIds ?? []) {
      const at = fates.get(batchId);
      if (at !== undefined && at > endedAt) inHand.push(at - endedAt);
    }
  }
  return {
    kills: next.length,
    next_commit: spreadOf(next),
    batch_in_hand: spreadOf(inHand),
    undisturbed,
    over_budget: overBudget,
  };
}

function isWithin(at: number | null, from: number, to: number): boolean {
  return at !== null && at >= from && at <= to;
}

/** By bisection: there may be many batches and many kills. */
function firstAfter(sorted: readonly number[], at: number): number | null {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) > at) high = middle;
    else low = middle + 1;
  }
  return sorted[low] ?? null;
}

function spreadOf(values: readonly number[]): Spread | null {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
  return sorted.length === 0 ? null : { median: at(0.5), p95: at(0.95), max: at(1) };
}
