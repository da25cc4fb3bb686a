import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../clock.js';
import { loadConfig } from '../config/load.js';
import { PipelineError } from '../errors.js';
import type { Releases } from '../lifecycle.js';
import { prove } from '../load/prove.js';
import { createBullQueue } from '../queue/bullmq.js';
import { batchCodec, maskedCodec } from '../queue/payload.js';
import type { Sealer } from '../queue/queue.js';
import type { Arena, LivesFacts, Sent } from './arena.js';
import { type Found, LeakScan, inflatedParts } from './leak-scan.js';
import {
  type Findings,
  Outcomes,
  eachRow,
  judgeRuns,
  ledgerCounts,
  readQuarantine,
  readTarget,
} from './oracle.js';
import { judgeOrder } from './order.js';
import { redisCommand } from './redis-command.js';
import { PIPELINE, type ProofStack, TARGET, keyFiles, processesDir } from './stack.js';
import { openMasterKeys } from './token-oracle.js';
import { marksOf } from './messages.js';

/** The embedded stack as the place of a run. */
export async function openEmbeddedArena(stack: ProofStack, seed: number, releases: Releases): Promise<Arena> {
  const backlogs = await openBacklogs(stack, releases);
  return {
    stack,
    fleet: { configFile: stack.configFile, env: stack.env, dir: processesDir(stack.dir) },
    pool: stack.pool,
    send: (from, count) => stack.sqs.send(stack.queue, { seed, from, count, groups: stack.groups }),
    redeliver: (ids) => stack.sqs.redeliver(stack.queue, ids),
    left: async () => ({
      queue: await depthOf(stack, stack.queue),
      deadLetters: await depthOf(stack, stack.deadLetters),
    }),
    batches: async () => {
      const all = await Promise.all(backlogs.map((queue) => queue.backlog()));
      return all.reduce((sum, { waiting, active }) => sum + waiting + active, 0);
    },
    judge: (sent, lives) => judge(stack, sent, lives),
  };
}

const DEFAULT_PREFIX = 'maskline';
const QUEUE_SCHEMA = `${DEFAULT_PREFIX}_queue.`;
const KEEP_NONE = { count: 0, ageS: 0 };
const noKeys: Sealer = { keyring: 'none', seal: refuse, open: refuse };

function refuse(): never {
  throw new PipelineError('key_unavailable', 'who only counts batches opens none');
}

async function openBacklogs({ redis, postgres }: ProofStack, releases: Releases) {
  const options = {
    url: redis?.url ?? postgres.url,
    backend: redis ? ('redis' as const) : ('postgres' as const),
    prefix: DEFAULT_PREFIX,
    sealer: noKeys,
    clock: systemClock,
    keepFailed: KEEP_NONE,
  };
  const queues = [
    createBullQueue({ ...options, name: `transform.${PIPELINE}`, codec: batchCodec }),
    createBullQueue({ ...options, name: `load.${PIPELINE}`, codec: maskedCodec }),
  ] as const;
  for (const queue of queues) await releases.acquire(queue, (open) => open.close());
  return queues;
}

/** What a queue holds, in whatever state, as the emulator tells. */
async function depthOf({ sqs }: ProofStack, queue: string): Promise<number> {
  const endpoint = `http://127.0.0.1:${sqs.port}`;
  const call = async (action: string, input: object): Promise<object> => {
    const answer = await fetch(endpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': `AmazonSQS.${action}` },
      body: JSON.stringify(input),
    });
    const value: unknown = await answer.json();
    return typeof value === 'object' && value !== null ? value : {};
  };
  const QueueUrl: unknown = Reflect.get(await call('GetQueueUrl', { QueueName: queue }), 'QueueUrl');
  const answer = await call('GetQueueAttributes', { QueueUrl, AttributeNames: ['All'] });
  const attributes: unknown = Reflect.get(answer, 'Attributes');
  const of = (state: string): number =>
    typeof attributes === 'object' && attributes !== null
      ? Number(Reflect.get(attributes, `ApproximateNumberOfMessages${state}`))
      : Number.NaN;
  return of('') + of('NotVisible') + of('Delayed');
}

async function judge(stack: ProofStack, sent: Sent, lives: LivesFacts): Promise<Findings> {
  const { pool } = stack;
  const outcomes = new Outcomes(sent);
  const files = keyFiles(stack);
  await readTarget(pool, TARGET, sent, openMasterKeys(files.keyring, files.kek), outcomes);
  await readQuarantine(pool, PIPELINE, sent, outcomes);
  const totals = outcomes.sum();
  const runs = await judgeRuns(pool, PIPELINE, lives);
  const ledger = await ledgerCounts(pool, PIPELINE);
  const problems = [...runs.problems];
  if (ledger.loaded + ledger.quarantined !== sent.ids.length) {
    problems.push(
      `the ledger has ${ledger.loaded + ledger.quarantined} records of ${sent.ids.length} messages`,
    );
  }
  const order = stack.groups === null ? null : await judgeOrder(pool, TARGET, stack.groups);
  if (order) problems.push(...order.problems);
  const proof = await proven(stack);
  problems.push(...proof.problems);
  const search = await findLeaks(stack, sent);
  const facts = {
    ...runs.facts,
    ...proof.facts,
    ...order?.facts,
    tokens_recomputed: outcomes.recomputed,
    searched_mib: Math.round(search.searchedBytes / 2 ** 20),
  };
  return { ...totals, leaks: search.found, problems: [...problems, ...search.problems], facts };
}

/** What `maskline prove` makes of the same tables: after whatever happened, it must find no difference. */
async function proven({ pool, configFile, env }: ProofStack): Promise<Pick<Findings, 'problems' | 'facts'>> {
  const { pipelines, retention } = loadConfig({ file: configFile, env });
  const named = pipelines.map(({ name, policy, target, further }) => ({
    ...{ name, policySha256: policy.sha256, target, further },
  }));
  const proofs = await prove(pool, { pipelines: named, since: null, retention });
  const found = proofs.flatMap(({ differences }) => differences);
  const isByRow = proofs.every(({ checked }) => checked.target_check === 'rows');
  return {
    problems: [
      ...found.map(({ kind, what }) => `prove: ${kind}: ${what}`),
      ...(isByRow ? [] : ['prove did not look at the target row by row']),
    ],
    facts: {
      proven_batches: proofs.reduce((sum, { checked }) => sum + checked.batches, 0),
      proven_rows: proofs.reduce((sum, { checked }) => sum + (checked.target_rows ?? 0), 0),
    },
  };
}

/** Where the values that must be nowhere may not be: every file that was written, and every table. */
async function findLeaks(
  { dir, redis, pool }: ProofStack,
  { seed }: Sent,
): Promise<{
  readonly found: readonly Found[];
  readonly problems: readonly string[];
  readonly searchedBytes: number;
}> {
  const { secret, address, kept } = marksOf(seed);
  const canonical = Buffer.from(
    address
      .split(':')
      .map((part) => part.padStart(4, '0'))
      .join(''),
    'hex',
  );
  const secrets = new LeakScan({ secret, address, 'address in bytes': canonical });
  const keptScan = new LeakScan({ kept });
  const found: Found[] = [];
  if (redis) {
    // Uncompressed, or a value could hide behind the compression.
    await redisCommand(redis.port, 'CONFIG', 'SET', 'rdbcompression', 'no');
    await redisCommand(redis.port, 'SAVE');
    // A kept value too has no business in Redis or in a log: payloads are sealed.
    found.push(...(await keptScan.scanTree(join(dir, 'redis'))));
    for (const inflated of inflatedParts(await readFile(join(dir, 'redis', 'dump.rdb'), 'latin1'))) {
      found.push(...secrets.scan('Redis dump.rdb, inflated', inflated));
    }
  }
  found.push(...(await keptScan.scanTree(processesDir(dir))));
  found.push(...(await secrets.scanTree(dir)));
  let rows = 0;
  let isKeptFound = false;
  for (const table of await tablesOf(pool)) {
    await eachRow(pool, `select t::text as text from ${table} t`, (row) => {
      const text = String(row['text']);
      rows += 1;
      found.push(...secrets.scan(table, text));
      // The queues' payloads are deflated; nothing else is.
      if (!table.startsWith(QUEUE_SCHEMA))
        return void (isKeptFound ||= table === TARGET && text.includes(kept));
      for (const inflated of inflatedParts(text)) found.push(...secrets.scan(table, inflated));
    });
  }
  const problems =
    isKeptFound || rows === 0 ? [] : ['the search found no kept value in the target, and so proves nothing'];
  return { found, problems, searchedBytes: secrets.searchedBytes };
}

async function tablesOf(pool: ProofStack['pool']): Promise<readonly string[]> {
  const { rows } = await pool.query<{ name: string }>(
    `select n.nspname || '.' || quote_ident(c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'm') and n.nspname !~ '^pg_|^information_schema$'`,
  );
  return rows.map(({ name }) => name);
}
