// What a replay would come to, by masking all of it and writing none.

import { PipelineError } from '../errors.js';
import { type QuarantineEntry, pageContents } from '../load/quarantine-entries.js';
import { dryVault } from '../masking/vault.js';
import { type ReplayMaker, replayBatches } from './replay-batches.js';
import { type ReplayParts, type ReplayRequest, type StayCounts, makerOf, outlasting } from './replay.js';

/** What a replay would do, as far as masks and the table's catalog can tell; the table may refuse more. */
export interface Rehearsal {
  readonly pipeline: string;
  readonly received: number;
  readonly wouldPass: number;
  /** Those that would stay, by the code that they would have then. */
  readonly codes: StayCounts;
  /** The open ones by what they were rejected for, the most frequent first. */
  readonly causes: readonly RehearsedCause[];
}

/** What would become of entries of one code and path. */
export interface RehearsedCause {
  readonly code: string;
  readonly path: string | null;
  readonly entries: number;
  readonly wouldPass: number;
  readonly codes: StayCounts;
}

/** Masks the entries as a replay would and says what would become of them; writes nothing. */
export async function rehearse(
  parts: ReplayParts,
  request: ReplayRequest,
  stop: AbortSignal,
): Promise<Rehearsal> {
  const { pipeline } = request;
  const patient = outlasting(parts, stop);
  const maker = await makerOf(parts, pipeline, patient, dryVault);
  const tally = new Tally();
  let received = 0;
  let replayed = 0;
  for await (const entries of pageContents(patient, request.filter, request.limit)) {
    if (stop.aborted) throw new PipelineError('canceled', 'stopped before all entries were looked at');
    // Replayed before: a replay would know them.
    const open = entries.filter((entry) => entry.replayed_at === null);
    received += entries.length;
    replayed += entries.length - open.length;
    const stays = await staysOf(maker, parts.deployment.clock.id(), open);
    for (const entry of open) tally.add(entry, stays.get(entry.id) ?? null);
  }
  const { causes } = tally;
  return {
    pipeline: pipeline.name,
    received,
    wouldPass: causes.reduce((sum, { wouldPass }) => sum + wouldPass, replayed),
    codes: sumOf(causes.map(({ codes }) => codes)),
    causes,
  };
}

/** The codes of the entries that would stay. */
async function staysOf(
  maker: ReplayMaker,
  runId: string,
  entries: readonly QuarantineEntry[],
): Promise<ReadonlyMap<string, string>> {
  const batches = await replayBatches(maker, runId, entries);
  return new Map(
    batches.flatMap(({ stays, unopened }) =>
      [...stays, ...unopened].map(({ id, code }) => [id, code] as const),
    ),
  );
}

/** Counts by cause. */
class Tally {
  readonly #causes = new Map<
    string,
    RehearsedCause & { entries: number; wouldPass: number; codes: { [code: string]: number } }
  >();

  get causes(): readonly RehearsedCause[] {
    return [...this.#causes.values()].toSorted((a, b) => b.entries - a.entries);
  }

  add({ code, path }: QuarantineEntry, stays: string | null): void {
    const key = JSON.stringify([code, path]);
    const cause = this.#causes.get(key) ?? { code, path, entries: 0, wouldPass: 0, codes: {} };
    this.#causes.set(key, cause);
    cause.entries += 1;
    if (stays === null) cause.wouldPass += 1;
    else cause.codes[stays] = (cause.codes[stays] ?? 0) + 1;
  }
}

function sumOf(all: readonly StayCounts[]): StayCounts {
  const sum: { [code: string]: number } = {};
  for (const [code, n] of all.flatMap((codes) => Object.entries(codes))) sum[code] = (sum[code] ?? 0) + n;
  return sum;
}
