// What the admin pages ask for besides the status: looks at the database, the queues and the keyring file, no key opened.

import type { Clock } from '../clock.js';
import { asPipelineError } from '../errors.js';
import { readQuarantineShapes } from '../load/quarantine-shape.js';
import { listRuns, showRun } from '../load/runs.js';
import { readKidUses, readThroughput } from '../load/throughput.js';
import { readKeyFile } from '../masking/keyring.js';
import { SUBSET_FORMAT } from '../masking/keyring-subset.js';
import { remedyFor } from '../masking/remedies.js';
import type { FailedGroup } from '../ops/admin/failed-page.js';
import type { KeyringView } from '../ops/admin/keys-card.js';
import type { Views } from '../ops/admin/server.js';
import { policies } from '../policy.js';
import { isBatchId } from '../queue/board.js';
import type { AdminParts } from './admin-server.js';
import type { Deployment } from './deployment.js';
import { type FailedEntry, failedQueuesOf } from './failed.js';

const RUNS_SHOWN = 20;
/** A page of batches; `runs show` has all of them. */
const BATCHES_SHOWN = 200;
/** Of failed jobs, the latest are looked at: the queue keeps so many by default. */
const FAILED_READ = 1_000;
const JOBS_SHOWN = 25;
/** Open pages, however many, cost one look in so long. */
const ACTIVITY_EVERY_MS = 4_000;
const KEYS_EVERY_MS = 20_000;

/** What may end the process that replays it. */
export const DANGEROUS_CODE = 'crashed_worker';

/** The views of a deployment. */
export function createViews(
  { config, clock }: Pick<Deployment, 'config' | 'clock'>,
  { pool, pipelines }: Pick<AdminParts, 'pool' | 'pipelines'>,
): Views {
  const names = pipelines.map(({ pipeline }) => pipeline.name);
  const queues = failedQueuesOf(
    pipelines.map((one) => ({ pipeline: one.pipeline.name, queues: one.queues })),
  );
  return {
    runs: () => listRuns(pool, { pipelines: names, limit: RUNS_SHOWN }),
    activity: everySoOften(clock, ACTIVITY_EVERY_MS, async () => {
      const all = await readThroughput(pool, names);
      return new Map(all.map((one, index) => [names[index] ?? '', one]));
    }),
    keyring: everySoOften(clock, KEYS_EVERY_MS, async () =>
      keyringView(config.keyring.file, await readKidUses(pool)),
    ),
    failed: async () => groupFailed(await queues.list({ codes: [], since: null, limit: FAILED_READ })),
    quarantine: async () =>
      (await readQuarantineShapes(pool, names)).map((shape) => ({
        ...shape,
        ...remedyFor(shape.code),
        isDangerous: shape.code === DANGEROUS_CODE,
      })),
    run: async (id) => {
      const run = await showRun(pool, id, BATCHES_SHOWN + 1);
      if (run === null) return null;
      const { batches } = run;
      return { ...run, batches: batches.slice(0, BATCHES_SHOWN), isCut: batches.length > BATCHES_SHOWN };
    },
  };
}

/** The answer of before, while it is young enough; who asks while another asks gets the same. */
function everySoOften<T>(clock: Clock, ms: number, ask: () => Promise<T>): () => Promise<T> {
  let latest: { readonly answer: Promise<T>; readonly at: number } | null = null;
  return () => {
    if (latest && clock.elapsed() - latest.at < ms) return latest.answer;
    const answer = ask();
    const mine = { answer, at: clock.elapsed() };
    latest = mine;
    // What failed is asked again at once.
    answer.catch(() => {
      if (latest === mine) latest = null;
    });
    return answer;
  };
}

/** Failed jobs by cause, the most frequent first. */
function groupFailed(entries: readonly FailedEntry[]): readonly FailedGroup[] {
  const groups = new Map<string, FailedEntry[]>();
  for (const entry of entries) {
    const cause = `${entry.pipeline} ${entry.stage} ${entry.code}`;
    const known = groups.get(cause);
    if (known) known.push(entry);
    else groups.set(cause, [entry]);
  }
  return [...groups.values()].flatMap((group) => groupOf(group)).toSorted((a, b) => b.count - a.count);
}

function groupOf(entries: readonly FailedEntry[]): readonly FailedGroup[] {
  const [first] = entries;
  if (!first) return [];
  const { pipeline, stage, code } = first;
  const times = entries.map(({ failedAt }) => failedAt);
  const records = entries.map(({ payload }) => payload.records);
  return [
    {
      ...{ pipeline, stage, code, remedy: policies[code].remedy, count: entries.length },
      records: records.includes(null) ? null : records.reduce((sum: number, each) => sum + (each ?? 0), 0),
      firstAt: Math.min(...times),
      lastAt: Math.max(...times),
      jobs: entries
        .filter(({ batchId }) => isBatchId(batchId))
        .slice(0, JOBS_SHOWN)
        .map(({ batchId, payload, queuedBytes, attempts, failedAt }) => ({
          ...{ id: batchId, records: payload.records, bytes: queuedBytes, attempts, failedAt },
        })),
    },
  ];
}

/** The keyring file's kids and states, which need no key to be read, and when the latest batches used them. */
function keyringView(
  file: string,
  uses: readonly { readonly kid: number; readonly last_at: string }[],
): KeyringView {
  const lastAt = (kid: number): string | null => uses.find((use) => use.kid === kid)?.last_at ?? null;
  try {
    const ring = readKeyFile(file);
    const kids =
      ring.format === SUBSET_FORMAT
        ? ring.kids.map((each) => ({ ...each, created_at: null }))
        : ring.keys.map(({ kid, state, created }) => ({ kid, state, created_at: created }));
    return {
      id: ring.id,
      trouble: null,
      keys: kids.map((each) => ({ ...each, last_at: lastAt(each.kid) })),
    };
  } catch (error) {
    const { code } = asPipelineError(error);
    const trouble =
      code === 'key_unavailable'
        ? 'This process has no keyring file, and needs none: these are the keys of the latest batches.'
        : 'The keyring file is damaged: run `maskline keys check`. These are the keys of the latest batches.';
    return {
      id: null,
      trouble,
      keys: uses.map(({ kid, last_at }) => ({ kid, state: null, created_at: null, last_at })),
    };
  }
}
