// Where a value may be that an erasure does not look for it: it says so, with what is to be done about each place.

import type { PipelineConfig } from '../config/config.js';
import { type TableConfig, tablesOf } from '../config/tables.js';
import type { PostgresPool } from '../load/connection.js';
import { unconfiguredPlaces } from '../load/erasure.js';
import { allColumns, masksOf, partsOf } from '../masking/parts.js';
import { type Answer, attempt } from '../ops/attempt.js';
import { queueAddress } from '../source/queue-address.js';
import { depthOf } from '../source/sqs-source.js';
import type { OpenParts } from './status-parts.js';

/** A place that is not searched. */
export interface Unsearched {
  readonly place: string;
  /** How much is in it: batches, messages, rows or entries; null where that is not known. */
  readonly count: number | null;
  readonly why: string;
}

/** What is asked for a count is waited for no longer: an erasure needs neither queue nor SQS. */
const ASK_LIMIT_MS = 5_000;
/** Masks of which something is left that nobody can lead back to a value. */
const LOSSY: readonly string[] = ['ip-truncate', 'partial', 'date-shift', 'bucket', 'generalize'];

/** Names every place; `all` are the pipelines of the configuration, and the parts those that are searched. */
export async function findUnsearched(
  pool: Pick<PostgresPool, 'query'>,
  parts: OpenParts,
  all: readonly PipelineConfig[],
): Promise<readonly Unsearched[]> {
  const searched = parts.pipelines.map(({ pipeline }) => pipeline);
  const passed = all.filter(({ name }) => !searched.some((one) => one.name === name));
  const waiting = await Promise.all(parts.pipelines.map(waitingIn));
  const domains = all.flatMap(({ policy }) =>
    allColumns(policy)
      .flatMap(masksOf)
      .flatMap((mask) => (mask.method === 'vault' ? [mask.domain] : [])),
  );
  const { rows, entries } = await unconfiguredPlaces(
    pool,
    all.map(({ name }) => name),
    domains,
  );
  return [
    ...waiting.flat(),
    ...passed.map(({ name }) => ({ place: `pipeline ${name}`, count: null, why: 'it was not named' })),
    ...searched.flatMap((pipeline) => tablesOf(pipeline).flatMap(unsearchedColumns)),
    ...rows.map(({ name, count }) => ({
      place: `masked rows of pipeline ${name} in quarantine`,
      count,
      why: 'the configuration has no such pipeline: purge them',
    })),
    ...entries.map(({ name, count }) => ({
      place: `vault entries of domain ${name}`,
      count,
      why: 'no column has that domain: they were found by their subject only',
    })),
  ];
}

async function waitingIn({
  pipeline: { name },
  queues,
  clients,
}: OpenParts['pipelines'][number]): Promise<readonly Unsearched[]> {
  const [batches, ...inSqs] = await Promise.all([
    queues &&
      attempt(() => Promise.all([queues.transformQueue.backlog(), queues.loadQueue.backlog()]), ASK_LIMIT_MS),
    ...clients.map(waitingInQueue),
  ]);
  return [
    {
      place: `queues transform.${name} and load.${name}`,
      count: countOf(batches, (backlogs) =>
        backlogs.reduce((sum, { waiting, active, failed }) => sum + waiting + active + failed, 0),
      ),
      why: 'batches that wait, or have failed, may hold it: erase again when they are loaded or discarded',
    },
    ...inSqs.flat(),
  ];
}

async function waitingInQueue(
  client: OpenParts['pipelines'][number]['clients'][number],
): Promise<readonly Unsearched[]> {
  const { name: queue } = queueAddress(client.queue);
  const messages = await attempt(() => depthOf(client), ASK_LIMIT_MS);
  return [
    {
      place: `SQS queue ${queue}`,
      count: countOf(messages, ({ visible, inFlight, delayed }) => visible + inFlight + delayed),
      why: 'messages may hold it: erase again after a drain',
    },
    {
      place: `dead-letter queue of ${queue}`,
      count: null,
      why: 'dead letters may hold it: erase again after `maskline dlq redrive`, or purge it',
    },
  ];
}

function unsearchedColumns({ columns, target }: TableConfig): readonly Unsearched[] {
  return columns
    .flatMap(partsOf)
    .filter(({ mask }) => mask.method === 'custom' || LOSSY.includes(mask.method))
    .map(({ name, mask }) => ({
      place: `column ${name} of ${target.schema}.${target.table}`,
      count: null,
      why:
        mask.method === 'custom'
          ? 'only the author of its mask knows what becomes of a value'
          : `what ${mask.method} leaves does not lead back to a value`,
    }));
}

function countOf<T>(answer: Answer<T> | null, count: (value: T) => number): number | null {
  return answer?.ok ? count(answer.value) : null;
}
