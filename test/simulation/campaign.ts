import type { Benign, Planted } from './planted.js';
import { type ScheduleResult, runSchedule } from './schedule.js';
import type { FifoSize } from './setup.js';

/** What many schedules came to, in sums. */
export interface Campaign {
  readonly schedules: number;
  readonly firstSeed: number;
  readonly failed: readonly ScheduleResult[];
  readonly faults: { readonly [fault: string]: number };
  readonly coverage: { readonly [what: string]: number };
  readonly steps: number;
  readonly virtualMs: number;
  readonly wallMs: number;
}

/** Runs schedules of consecutive seeds, one after the other. */
export async function runCampaign(
  schedules: number,
  firstSeed: number,
  fifo: FifoSize | null = null,
): Promise<Campaign> {
  const startedAt = performance.now();
  const failed: ScheduleResult[] = [];
  const faults: { [fault: string]: number } = {};
  const coverage: { [what: string]: number } = {};
  let steps = 0;
  let virtualMs = 0;
  for (let seed = firstSeed; seed < firstSeed + schedules; seed += 1) {
    const result = await runSchedule(seed, fifo === null ? {} : { fifo });
    if (result.violations.length > 0) failed.push(result);
    addTo(faults, result.faults);
    addTo(coverage, result.coverage);
    steps += result.steps;
    virtualMs += result.virtualMs;
  }
  return {
    schedules,
    firstSeed,
    failed,
    faults,
    coverage,
    steps,
    virtualMs,
    wallMs: performance.now() - startedAt,
  };
}

/** The first schedule that finds a planted defect; null when none of so many does. */
export async function findPlanted(
  planted: Planted | Benign,
  schedules: number,
  firstSeed: number,
): Promise<ScheduleResult | null> {
  for (let seed = firstSeed; seed < firstSeed + schedules; seed += 1) {
    const result = await runSchedule(seed, { planted });
    if (result.violations.length > 0) return result;
  }
  return null;
}

/** Adds counts to sums, name by name. */
export function addTo(sums: { [name: string]: number }, counts: { readonly [name: string]: number }): void {
  for (const [name, count] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + count;
}
