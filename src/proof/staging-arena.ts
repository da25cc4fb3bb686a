// A deployment that was named as the place of a run: nothing of it is touched but by the run's own processes.

import { systemClock } from '../clock.js';
import type { PipelineConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import type { PostgresPool } from '../load/connection.js';
import { quoteTable } from '../load/copy.js';
import type { Keyring } from '../masking/keyring.js';
import { compileMasker } from '../masking/mask.js';
import { candidateTokens } from '../masking/vault.js';
import type { QueueClient } from '../source/queue-client.js';
import type { SqsSender } from '../source/sqs-sender.js';
import type { Arena, LivesFacts, Sent } from './arena.js';
import { LeakScan } from './leak-scan.js';
import { marksOf } from './messages.js';
import { type Findings, judgeRuns } from './oracle.js';
import { stagingMessage } from './staging-messages.js';

/** What the deployment lends. */
export interface StagingOptions {
  readonly pipeline: PipelineConfig;
  readonly pool: PostgresPool;
  readonly client: Pick<QueueClient, 'attributes'>;
  readonly sender: SqsSender;
  readonly keyring: Keyring;
  readonly backlog: () => Promise<number>;
  readonly fleet: Arena['fleet'];
  readonly seed: number;
}

/** Ids asked about in one statement. */
const ASKED = 5_000;

/** Throws `usage` when no message can be made up that the pipeline would take. */
export async function openStagingArena(options: StagingOptions): Promise<Arena> {
  const { pipeline, pool, client, sender, seed, fleet } = options;
  proveTaken(options);
  const marks = marksOf(seed);
  const before = await rowsOf(pool, pipeline);
  return {
    stack: null,
    fleet,
    pool,
    send: (from, count) =>
      sender.send(
        Array.from(
          { length: count },
          (_, at) => stagingMessage(pipeline.policy, seed, marks, from + at).body,
        ),
      ),
    redeliver: () => Promise.resolve([]),
    left: async () => {
      const attributes = await client.attributes();
      const { visible = 0, inFlight = 0, delayed = 0 } = attributes ?? {};
      return { queue: visible + inFlight + delayed, deadLetters: null };
    },
    batches: options.backlog,
    judge: (sent, lives) => judge(options, sent, lives, before),
  };
}

/** A row for each valid message, and for none twice; how many the table has is what it can be judged by. */
export async function rowsOf(
  pool: PostgresPool,
  { target }: Pick<PipelineConfig, 'target'>,
): Promise<number> {
  const { rows } = await pool.query<{ n: number }>(`select count(*)::int as n from ${quoteTable(target)}`);
  return rows[0]?.n ?? 0;
}

/** Masks one of the messages that are to be sent: what the pipeline would reject must not be sent by the thousand. */
function proveTaken({ pipeline, keyring, seed }: StagingOptions): void {
  const { policy, source } = pipeline;
  const { envelope, encoding, records: form } = source.opening;
  const others = [envelope, encoding, form].filter(
    (mode) => !['auto', 'none', 'one', 'lines'].includes(mode),
  );
  if (others.length > 0) {
    throw new PipelineError(
      'usage',
      `pipeline ${pipeline.name} reads only messages of the form ${others.join(', ')}, which torture does not make`,
    );
  }
  const marks = marksOf(seed);
  const valid = [0, 1, 2, 3, 4, 5, 6, 7].map((index) => stagingMessage(policy, seed, marks, index));
  const records = valid.flatMap(({ body, isValid }, at) =>
    isValid ? [{ id: `probe-${at}`, message: 0, body }] : [],
  );
  const now = systemClock.now();
  const head = { messageId: 'probe', sentAt: now, receivedAt: now, attributes: {} };
  const ids = { batchId: systemClock.id(), runId: systemClock.id() };
  const batch = { ...ids, pipeline: pipeline.name, messages: [head], records };
  const masker = compileMasker(policy, keyring, systemClock);
  const { masked } = masker.mask(batch, candidateTokens(masker.wanted(batch)));
  const [rejection] = masked.rejections;
  if (rejection === undefined) return;
  const where = rejection.path === null ? '' : ` at ${rejection.path}`;
  throw new PipelineError(
    'usage',
    `torture can't make up messages for pipeline ${pipeline.name}: they would be rejected as ${rejection.code}${where}`,
  );
}

async function judge(
  { pipeline, pool, seed, fleet }: StagingOptions,
  sent: Sent,
  lives: LivesFacts,
  before: number,
): Promise<Findings> {
  const { name, policy } = pipeline;
  const ledger = await countsById(
    pool,
    sent.ids,
    'select record_id as id from maskline.ledger where pipeline = $1',
    name,
  );
  const entries = await countsById(
    pool,
    sent.ids,
    'select message_id as id from maskline.quarantine where pipeline = $1',
    name,
  );
  const totals = { lost: 0, twice: 0, misplaced: 0, strays: 0, wrong: 0 };
  let valid = 0;
  for (const [index, id] of sent.ids.entries()) {
    const { isValid } = stagingMessage(policy, seed, sent.marks, index);
    if (isValid) valid += 1;
    if (!ledger.has(id)) totals.lost += 1;
    totals.twice += Math.max(0, (ledger.get(id) ?? 0) - 1) + Math.max(0, (entries.get(id) ?? 0) - 1);
    if (entries.has(id) === isValid) totals.misplaced += 1;
  }
  // Others may write to the table as well: then this is theirs to explain.
  const added = (await rowsOf(pool, pipeline)) - before;
  totals.lost += Math.max(0, valid - added);
  totals.twice += Math.max(0, added - valid);
  const runs = await judgeRuns(pool, name, lives);
  const { secret, address } = sent.marks;
  const scan = new LeakScan({ secret, address });
  const leaks = await scan.scanTree(fleet.dir);
  return { ...totals, leaks, problems: runs.problems, facts: { ...runs.facts, rows_added: added } };
}

/** How often each of the ids occurs. */
async function countsById(
  pool: PostgresPool,
  ids: readonly string[],
  sql: string,
  pipeline: string,
): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  for (let from = 0; from < ids.length; from += ASKED) {
    const { rows } = await pool.query<{ id: string; n: number }>(
      `select id, count(*)::int as n from (${sql}) t where id = any($2) group by id`,
      [pipeline, ids.slice(from, from + ASKED)],
    );
    for (const { id, n } of rows) counts.set(id, n);
  }
  return counts;
}
