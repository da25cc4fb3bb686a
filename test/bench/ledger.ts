// `npm run bench -- ledger`: what loading costs when the ledger holds very much already, beside an empty one.

import { randomUUID } from 'node:crypto';
import { mkdirSync, statfsSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import type { MaskedBatch } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import { loginEvents, seededRandom } from '../../src/embedded/login-events.js';
import { reapOrphans } from '../../src/embedded/postgres.js';
import { PipelineError } from '../../src/errors.js';
import { Releases } from '../../src/lifecycle.js';
import type { PostgresPool } from '../../src/load/connection.js';
import { type VaultMasker, compileMasker } from '../../src/masking/mask.js';
import { type Figures, spreadOf } from '../../src/proof/bench/figures.js';
import { benchText, reportOf } from '../../src/proof/bench/report.js';
import { machine, versions } from '../../src/proof/bench/surroundings.js';
import { readUsage } from '../../src/proof/bench/usage.js';
import { concurrencyOf } from '../../src/roles/workers.js';
import { testKeyring } from '../support/masking.js';
import { type Databases, type Place, openDatabases, postgresFacts } from './ledger-databases.js';
import { Fill, fillLedger } from './ledger-fill.js';
import { parseSettings } from './settings.js';

const SETTINGS = {
  ids: { byDefault: 5_000_000, max: 1_000_000_000 },
  batches: { byDefault: 40, max: 100_000 },
  runs: { byDefault: 7, max: 100 },
};

const USAGE = `npm run bench -- ledger [--ids N] [--batches B] [--runs R] [--dir DIR] [--json]

Two databases of one Postgres: in the ledger of one are N ids of the last 14 days (default 5000000), in that of the other
none. The loader loads B batches (default 40) of 1,000 masked rows into each, a few in turn, R runs (default 7): first new
ones, then such that half of each batch is known already, from all of the 14 days. Ratios: full beside empty, within one
run. The data is made below DIR (default the directory for temporary files), and removed in the end.`;

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
const BATCH_ROWS = 1_000;
/** Of each batch in the second part. */
const KNOWN_ROWS = BATCH_ROWS / 2;
/** So many go into one database, and then as many into the other: what slows the machine down slows both down. */
const SLICE_BATCHES = 10;
/** An id and its index entry were seen to take 254; the rest is for pages that are not quite full. */
const BYTES_PER_ID = 280;
/** Postgres itself, its log, and what is loaded. */
const BYTES_BESIDES = 2 * 2 ** 30;
/** The same people in every run. */
const SEED = 1;
/** Runs in which caches fill and code is compiled. */
const NOT_COUNTED = 1;

interface Bench extends Databases {
  readonly fill: Fill;
  readonly masker: VaultMasker;
  readonly random: () => number;
}

/** What loading some batches took. */
interface Loading {
  readonly rows: number;
  readonly ms: number;
  /** Of Postgres, all of its processes. */
  readonly cpuMicros: number;
  /** Of each batch: the statements that enter and look up ids, by the loader's clock. */
  readonly ledgerMs: readonly number[];
}

/** Measures, and returns the text to print. Throws `usage` when the disk is too small. */
export async function runLedger(args: readonly string[]): Promise<string> {
  const asked = parseSettings(args, SETTINGS, USAGE, { takesDir: true });
  if (asked.help) return USAGE;
  const { ids, batches, runs } = asked.settings;
  const root = join(asked.dir ?? tmpdir(), `maskline-ledger-${userInfo().username}`);
  mkdirSync(root, { recursive: true, mode: 0o755 });
  await reapOrphans(root);
  requireSpace(root, ids);
  const head = {
    profile: 'ledger',
    measures: `the loader over a ledger of ${ids} ids, beside an empty one`,
    at: new Date().toISOString(),
    machine: machine(),
  };
  const releases = new Releases();
  // Filling takes minutes and much of a disk: who gives up shall not have to clean up. What is under way then fails.
  const giveUp = (): void => void releases.release().catch(() => undefined);
  for (const signal of SIGNALS) process.once(signal, giveUp);
  try {
    const startedAt = performance.now();
    const bench = await prepare(releases, root, ids);
    const { ledger_gib, ...server } = await postgresFacts(bench);
    const parameters = {
      ...{ ids, ledger_gib, preparation_s: Math.round((performance.now() - startedAt) / 1_000) },
      ...{ runs, batches, rows_per_batch: BATCH_ROWS, known_rows_per_half_known_batch: KNOWN_ROWS },
      batches_at_once: atOnce(bench),
    };
    const rounds = await measure(bench, batches, runs);
    const report = reportOf({ ...head, parameters, versions: { ...versions(), ...server } }, rounds);
    return asked.json ? JSON.stringify(report) : benchText(report);
  } finally {
    for (const signal of SIGNALS) process.off(signal, giveUp);
    await releases.release();
  }
}

/** Throws `usage` unless so many ids find room there. */
export function requireSpace(root: string, ids: number): void {
  const { bavail, bsize } = statfsSync(root);
  const needed = ids * BYTES_PER_ID + BYTES_BESIDES;
  if (bavail * bsize >= needed) return;
  const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  throw new PipelineError(
    'usage',
    `${ids} ids need ${gib(needed)} in ${root}, where ${gib(bavail * bsize)} are free: give another --dir, or fewer --ids`,
  );
}

async function prepare(releases: Releases, root: string, ids: number): Promise<Bench> {
  const databases = await openDatabases(releases, root);
  const fill = new Fill(ids, Date.now());
  await fillLedger(databases, { fill, tell });
  return {
    ...databases,
    fill,
    masker: compileMasker(databases.pipeline.policy, testKeyring(), systemClock),
    random: seededRandom(SEED),
  };
}

const tell = (line: string): void => void process.stderr.write(`${line}\n`);

/** As many as a process of the load role. */
const atOnce = ({ pipeline }: Bench): number => concurrencyOf(pipeline, null).load;

/** Runs of new batches, and then of half-known ones: until then the ledger of the empty one holds none of the fill. */
async function measure(bench: Bench, batches: number, runs: number): Promise<readonly Figures[]> {
  const rounds: Figures[] = [];
  for (const known of [0, KNOWN_ROWS]) {
    const name = known === 0 ? 'new' : 'half_known';
    for (let run = 1 - NOT_COUNTED; run <= runs; run += 1) {
      const figures = figuresOf(name, await oneRound(bench, { batches, known, run }));
      tell(
        `${name}, run ${run} of ${runs}: rate ${figures[`${name}_rate_ratio`]?.toFixed(2)} of the empty one's`,
      );
      if (run >= 1) rounds[run - 1] = { ...rounds[run - 1], ...figures };
    }
  }
  return rounds;
}

type Round = Readonly<Record<'full' | 'empty', Loading>>;

function figuresOf(name: string, { full, empty }: Round): Figures {
  const rate = ({ rows, ms }: Loading): number => rows / (ms / 1_000);
  const cpu = ({ rows, cpuMicros }: Loading): number => cpuMicros / rows;
  const ledgerMs = (loading: Loading): number => spreadOf(loading.ledgerMs).median;
  return {
    [`${name}_rate_ratio`]: rate(full) / rate(empty),
    [`${name}_postgres_cpu_ratio`]: cpu(full) / cpu(empty),
    [`${name}_rows_per_second`]: rate(full),
    [`${name}_rows_per_second_empty`]: rate(empty),
    [`${name}_postgres_cpu_us_per_row`]: cpu(full),
    [`${name}_postgres_cpu_us_per_row_empty`]: cpu(empty),
    [`${name}_ledger_ms_per_batch`]: ledgerMs(full),
    [`${name}_ledger_ms_per_batch_empty`]: ledgerMs(empty),
  };
}

async function oneRound(
  bench: Bench,
  { batches, known, run }: { readonly batches: number; readonly known: number; readonly run: number },
): Promise<Round> {
  const loadings: Record<keyof Round, Loading[]> = { full: [], empty: [] };
  for (let left = batches, slice = run; left > 0; left -= SLICE_BATCHES, slice += 1) {
    const old = Array.from({ length: Math.min(SLICE_BATCHES, left) }, () => drawn(bench, known));
    if (known > 0) await enter(bench, bench.empty.pool, old.flat());
    for (const name of slice % 2 === 0 ? (['full', 'empty'] as const) : (['empty', 'full'] as const)) {
      const masked = old.map((numbers) => batchOf(bench, numbers));
      loadings[name].push(await load(bench, bench[name], masked, known));
    }
  }
  return { full: inAll(loadings.full), empty: inAll(loadings.empty) };
}

function inAll(loadings: readonly Loading[]): Loading {
  const sum = (of: (loading: Loading) => number): number =>
    loadings.reduce((total, each) => total + of(each), 0);
  return {
    rows: sum(({ rows }) => rows),
    ms: sum(({ ms }) => ms),
    cpuMicros: sum(({ cpuMicros }) => cpuMicros),
    ledgerMs: loadings.flatMap(({ ledgerMs }) => ledgerMs),
  };
}

/** Numbers of ids from all over the fill, each once. */
function drawn({ fill, random }: Bench, count: number): readonly number[] {
  const numbers = new Set<number>();
  while (numbers.size < Math.min(count, fill.ids)) numbers.add(Math.floor(random() * fill.ids));
  return [...numbers];
}

/** What the other ledger knows too: the same work is to be done in both. */
async function enter(
  { fill, pipeline }: Bench,
  pool: PostgresPool,
  numbers: readonly number[],
): Promise<void> {
  const entries = numbers.map((n) => fill.idOf(n));
  await pool.query(
    `insert into maskline.ledger (pipeline, sent_at, key, record_id, batch_id, outcome)
     select $1, sent_at, convert_to(id, 'UTF8'), id, $2, 'loaded'
       from unnest($3::timestamptz[], $4::text[]) as t (sent_at, id)
     on conflict do nothing`,
    [
      pipeline.name,
      systemClock.id(),
      entries.map(({ sentAt }) => new Date(sentAt).toISOString()),
      entries.map(({ id }) => id),
    ],
  );
}

/** Logins that were just sent, and in their midst those of the ids of these numbers. */
function batchOf({ fill, masker, pipeline, random }: Bench, numbers: readonly number[]): MaskedBatch {
  const now = Date.now();
  const ids = Array.from({ length: BATCH_ROWS }, (_, i) => {
    const n = numbers[i];
    return n === undefined ? { id: randomUUID(), sentAt: now - i } : fill.idOf(n);
  });
  const bodies = [...loginEvents(BATCH_ROWS, random)].map((event) => JSON.stringify(event));
  return masker.mask({
    batchId: systemClock.id(),
    runId: systemClock.id(),
    pipeline: pipeline.name,
    messages: ids.map(({ id, sentAt }) => ({ messageId: id, sentAt, receivedAt: now, attributes: {} })),
    records: bodies.map((body, message) => ({ id: ids[message]?.id ?? '', message, body })),
  }).masked;
}

/** Throws an Error unless each batch came to so many duplicates. */
async function load(
  bench: Bench,
  { sink }: Place,
  batches: readonly MaskedBatch[],
  known: number,
): Promise<Loading> {
  const waiting = [...batches];
  const ledgerMs: number[] = [];
  const work = async (): Promise<void> => {
    for (let batch = waiting.shift(); batch !== undefined; batch = waiting.shift()) {
      const report = await sink.commit(batch);
      if (report?.duplicates !== known || report.loaded !== BATCH_ROWS - known)
        throw new Error(`a batch came to ${report?.loaded} rows and ${report?.duplicates} duplicates`);
      ledgerMs.push(report.ms.ledger);
    }
  };
  const before = await readUsage(bench.server.pid);
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: atOnce(bench) }, work));
  const ms = performance.now() - startedAt;
  const { cpuMicros } = await readUsage(bench.server.pid);
  return { rows: batches.length * BATCH_ROWS, ms, cpuMicros: cpuMicros - before.cpuMicros, ledgerMs };
}
