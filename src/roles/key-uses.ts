// Where the key of a kid is still needed, before it is destroyed.

import type { PipelineConfig } from '../config/config.js';
import { tablesOf } from '../config/tables.js';
import { PipelineError, asPipelineError } from '../errors.js';
import type { Releases } from '../lifecycle.js';
import type { PostgresPool } from '../load/connection.js';
import {
  type KeyUse,
  knownTokens,
  maskedRowsSealedOtherwise,
  processesSince,
  sealedUses,
  targetUses,
} from '../load/key-uses.js';
import { checkSchema } from '../load/migrate.js';
import type { Keyring } from '../masking/keyring.js';
import { isList } from '../masking/methods.js';
import { isJsonColumn, needsKeyId } from '../masking/parts.js';
import { kidColumnsOf } from '../masking/remask-rows.js';
import { type EntryKeys, keysOfEntry } from '../masking/reseal.js';
import { PayloadSealer } from '../masking/seal.js';
import { outlast } from '../policy.js';
import type { BoardQueue, BoardState } from '../queue/board.js';
import type { Deployment } from './deployment.js';
import { type PipelineQueues, openQueues } from './queues.js';
import { namedTable } from './tables.js';

/** What is asked about a key. */
export interface KeyQuestion {
  readonly kid: number;
  readonly keyring: Keyring;
  /** When the keyring file was last changed, in epoch ms. */
  readonly changedAt: number;
}

/** A job moves on while it is counted; against that direction it is met at least once. */
const STATES: readonly BoardState[] = ['waiting', 'delayed', 'active', 'delayed', 'waiting'];
/** What a queue lists at once. */
const PAGE = 50;

/**
 * How often each place needs the key: columns of every configured target, maskline's own tables, jobs of all queues,
 * and processes that may still mask under it. Places that need it not are left out. Throws `usage` and whatever says
 * that a place could not be asked: `postgres_unavailable`, `redis_unavailable`, `permission_denied`.
 */
export async function findKeyUses(
  deployment: Deployment,
  pool: PostgresPool,
  question: KeyQuestion,
  releases: Releases,
): Promise<readonly KeyUse[]> {
  const { pipelines } = deployment.config;
  await checkSchema(pool);
  const uses: KeyUse[] = [];
  for (const { target, columns } of pipelines.flatMap(tablesOf)) {
    // What a custom mask makes is no token, whatever it looks like.
    const others: readonly string[] = ['drop', 'keep', 'custom'];
    const tokens = columns
      .filter(({ mask }) => !others.includes(mask.method) && !needsKeyId(mask))
      .map((column) => ({ name: column.name, isList: isList(column) || isJsonColumn(column) }));
    uses.push(
      ...(await targetUses(pool, { ...target, tokens, kidColumns: kidColumnsOf({ columns }) }, question.kid)),
    );
  }
  uses.push(...(await sealedUses(pool, question.kid)));
  uses.push(await tokensInQuarantine(pool, pipelines, question));
  uses.push(await processesSince(pool, question.changedAt));
  // In memory they are their process's own, and end with it: the processes are counted.
  if (deployment.config.queue.backend !== 'memory') {
    for (const pipeline of pipelines)
      uses.push(...(await queueUses(deployment, pipeline, question, releases)));
  }
  const known = new Map<string, number>();
  for (const { place, count } of uses) known.set(place, Math.max(count, known.get(place) ?? 0));
  return [...known].flatMap(([place, count]) => (count > 0 ? [{ place, count }] : []));
}

/** Masked rows that were refused by a table: a row of that key may have been sealed under a later one. */
async function tokensInQuarantine(
  pool: PostgresPool,
  pipelines: readonly PipelineConfig[],
  { kid, keyring }: KeyQuestion,
): Promise<KeyUse> {
  const tables = new Map(pipelines.map((pipeline) => [pipeline.name, tablesOf(pipeline)]));
  const kidColumns = (pipeline: string, name: string | null): readonly string[] => {
    const table = namedTable(tables.get(pipeline) ?? [], name);
    return table ? kidColumnsOf(table) : [];
  };
  let count = 0;
  for await (const page of maskedRowsSealedOtherwise(pool, kid)) {
    const opened = page.flatMap((entry) => {
      const keys = openedKeys(() =>
        keysOfEntry(keyring, entry, (table) => kidColumns(entry.pipeline, table)),
      );
      if (keys === null) return [];
      const { kids, vaultTokens } = keys;
      return [{ kids, tokens: vaultTokens.flatMap((token) => (token.kid === kid ? [token.text] : [])) }];
    });
    const known = await knownTokens(
      pool,
      opened.flatMap(({ tokens }) => tokens),
    );
    count += opened.filter(
      ({ kids, tokens }) => kids.has(kid) || tokens.some((each) => known.has(each)),
    ).length;
  }
  return { place: 'tokens in masked rows of maskline.quarantine', count };
}

async function queueUses(
  deployment: Deployment,
  { name }: PipelineConfig,
  { kid, keyring }: KeyQuestion,
  releases: Releases,
): Promise<readonly KeyUse[]> {
  const { clock, config, onWait } = deployment;
  const queues = await releases.acquire(
    await openQueues(deployment, new PayloadSealer(keyring), name),
    ({ transformQueue, loadQueue }) => Promise.all([transformQueue.close(), loadQueue.close()]),
  );
  const never = new AbortController().signal;
  await outlast(clock, () => queues.transformQueue.backlog(), never, onWait, config.startupTimeoutMs);
  const uses: KeyUse[] = [];
  for (const board of queues.boards()) {
    for (const state of STATES) uses.push(await jobsOfKid(board, state, kid));
  }
  return [...uses, ...(await failedUses(name, queues, kid))];
}

async function jobsOfKid(board: BoardQueue, state: BoardState, kid: number): Promise<KeyUse> {
  let count = 0;
  for (let from = 0; ; from += PAGE) {
    const jobs = await board.jobs([state], from, from + PAGE - 1);
    // A newer version's payload may say otherwise what it is sealed under: it counts as one that needs the key.
    count += jobs.filter(({ payload }) => payload && (payload.kid ?? kid) === kid).length;
    if (jobs.length < PAGE) return { place: `${state} jobs of ${board.name}`, count };
  }
}

/** Failed jobs, also those whose rows are of that key though a later one has sealed them: a retry seals anew. */
async function failedUses(
  pipeline: string,
  { transformQueue, loadQueue }: Pick<PipelineQueues, 'transformQueue' | 'loadQueue'>,
  kid: number,
): Promise<readonly KeyUse[]> {
  const all = { codes: [], since: null, limit: null };
  const [transform, load] = await Promise.all([transformQueue.failed(all), loadQueue.failed(all)]);
  let inLoad = 0;
  for (const { payload, batchId } of load) {
    const isSealed = (payload.kid ?? kid) === kid;
    const batch = isSealed ? null : await loadQueue.openFailed(batchId).catch(unopenable);
    if (isSealed || batch?.kids.includes(kid)) inLoad += 1;
  }
  const inTransform = transform.filter(({ payload }) => (payload.kid ?? kid) === kid).length;
  return [
    { place: `failed jobs of transform.${pipeline}`, count: inTransform },
    { place: `failed jobs of load.${pipeline}`, count: inLoad },
  ];
}

/** What no key opens needs none. */
const UNOPENABLE: readonly string[] = ['key_unavailable', 'payload_corrupt', 'payload_newer'];

function unopenable(error: unknown): null {
  if (error instanceof PipelineError && UNOPENABLE.includes(error.code)) return null;
  throw asPipelineError(error);
}

function openedKeys(open: () => EntryKeys): EntryKeys | null {
  try {
    return open();
  } catch (error) {
    return unopenable(error);
  }
}
