// What a retry of failed jobs would come to, by doing all of it but writing.

import type { Batch, MaskedBatch, RecordKey } from '../batch.js';
import type { PipelineConfig } from '../config/config.js';
import { type ErrorCode, PipelineError, asPipelineError } from '../errors.js';
import type { PostgresPool } from '../load/connection.js';
import { knownRecords, ledgerKey } from '../load/ledger.js';
import type { Keyring } from '../masking/keyring.js';
import { PayloadSealer } from '../masking/seal.js';
import { dryVault } from '../masking/vault.js';
import { actionFor } from '../policy.js';
import type { Deployment } from './deployment.js';
import type { FailedEntry } from './failed.js';
import { checkDatabase } from './preflight.js';
import { type PipelineQueues, openQueues } from './queues.js';
import { makerOf, outlasting } from './replay.js';
import type { ReplayMaker } from './replay-batches.js';
import { tooOld } from './retry-age.js';
import { namedTable } from './tables.js';

/** What would become of one failed job now, in records; the table may refuse more than its catalog tells. */
export interface JobForecast {
  readonly entry: FailedEntry;
  readonly wouldLoad: number;
  /** Loaded or quarantined meanwhile, after SQS brought them again, or in a job that comes before this one. */
  readonly duplicates: number;
  /** Those that would be rejected, by code. */
  readonly codes: Readonly<{ [code: string]: number }>;
  /** Why the job would stay as it is, or fail again; null when its records would be settled. */
  readonly left: { readonly code: ErrorCode; readonly why: string } | null;
}

/** What it takes. */
export interface RehearsalParts {
  readonly deployment: Deployment;
  readonly pool: PostgresPool;
  readonly keyring: Keyring;
}

/** Opens and masks failed jobs of one pipeline as a retry would, and asks the ledger; changes nothing. */
export async function rehearseRetry(
  parts: RehearsalParts,
  pipeline: PipelineConfig,
  entries: readonly FailedEntry[],
): Promise<readonly JobForecast[]> {
  const { deployment, pool, keyring } = parts;
  const unfit = await unfitness(pool, pipeline);
  if (unfit) return entries.map((entry) => leftAsItIs(entry, unfit));
  const patient = outlasting(parts, new AbortController().signal);
  const maker = await makerOf(parts, pipeline, patient, dryVault);
  const queues = await openQueues(deployment, new PayloadSealer(keyring), pipeline.name);
  // Of two jobs with the same records only one would load them.
  const seen = new Set<string>();
  const forecasts: JobForecast[] = [];
  try {
    for (const entry of entries) forecasts.push(await forecast(parts, { maker, queues, seen }, entry));
  } finally {
    await Promise.all([queues.transformQueue.close(), queues.loadQueue.close()]);
  }
  return forecasts;
}

interface Rehearsing {
  readonly maker: ReplayMaker;
  readonly queues: Pick<PipelineQueues, 'transformQueue' | 'loadQueue'>;
  readonly seen: Set<string>;
}

async function forecast(
  { deployment, pool }: RehearsalParts,
  { maker, queues, seen }: Rehearsing,
  entry: FailedEntry,
): Promise<JobForecast> {
  try {
    const opened = await queues[`${entry.stage}Queue`].openFailed(entry.batchId);
    if (opened === null) {
      throw new PipelineError('not_found', `job ${entry.batchId} was retried or discarded just now`);
    }
    const why = tooOld(deployment, opened);
    if (why !== null) return leftAsItIs(entry, new PipelineError('expired', why));
    const masked = 'records' in opened ? await maskNow(maker, opened) : opened;
    checkColumns(maker, masked);
    const isNew = await firstTimers(pool, deployment.clock.id(), masked, seen);
    const rejections = masked.rejections.filter(isNew);
    const codes: { [code: string]: number } = {};
    for (const { code } of rejections) codes[code] = (codes[code] ?? 0) + 1;
    const wouldLoad = masked.keys.filter(isNew).length;
    const all = masked.keys.length + masked.rejections.length;
    return { entry, wouldLoad, duplicates: all - wouldLoad - rejections.length, codes, left: null };
  } catch (thrown) {
    const error = asPipelineError(thrown);
    if (actionFor(error) === 'wait') throw error;
    return leftAsItIs(entry, error);
  }
}

async function maskNow({ masker, leakGate }: ReplayMaker, batch: Batch): Promise<MaskedBatch> {
  const { masked } = await masker.mask(batch);
  leakGate?.check(batch, masked);
  return masked;
}

/** A batch is loaded by its own column list: what the tables have lost since can't be. */
function checkColumns({ tables }: ReplayMaker, { columns, several }: MaskedBatch): void {
  const parts = [{ table: several?.table ?? null, columns }, ...(several?.further ?? [])];
  for (const part of parts) {
    const found = namedTable(tables, part.table)?.found ?? [];
    const lost = part.columns.filter((name) => !found.some((column) => column.name === name));
    if (lost.length === 0) continue;
    throw new PipelineError(
      'table_unfit',
      `the batch was masked for columns that ${part.table ?? 'the table'} does not have now: ${lost.join(', ')}`,
    );
  }
}

/** Tells the records that neither the ledger nor a job before knows. */
async function firstTimers(
  pool: PostgresPool,
  batchId: string,
  { pipeline, keys, rejections }: MaskedBatch,
  seen: Set<string>,
): Promise<(record: RecordKey) => boolean> {
  const all = new Map<string, RecordKey>([...keys, ...rejections].map((one) => [ledgerKey(one), one]));
  const distinct = [...all.values()];
  const known = await pool.withClient((client) => knownRecords(client, { pipeline, batchId }, distinct));
  const first = new Set<RecordKey>();
  for (const [i, record] of distinct.entries()) {
    const key = ledgerKey(record);
    if (!known.has(i) && !seen.has(key)) first.add(record);
    seen.add(key);
  }
  return (record) => first.has(record);
}

/** Why nothing can be loaded into the pipeline's tables as they are; null when it can. */
async function unfitness(pool: PostgresPool, pipeline: PipelineConfig): Promise<PipelineError | null> {
  try {
    await checkDatabase(pool, [pipeline], 'loads');
    return null;
  } catch (thrown) {
    const error = asPipelineError(thrown);
    if (actionFor(error) === 'wait') throw error;
    return error;
  }
}

function leftAsItIs(entry: FailedEntry, { code, message }: PipelineError): JobForecast {
  return { entry, wouldLoad: 0, duplicates: 0, codes: {}, left: { code, why: message } };
}
