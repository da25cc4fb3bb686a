// The servers of a run, each behind a proxy that can fail, and the files of a deployment on them.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type EmbeddedPostgres, startPostgres } from '../embedded/postgres.js';
import { type EmbeddedRedis, startRedis } from '../embedded/redis.js';
import { PipelineError } from '../errors.js';
import type { Releases } from '../lifecycle.js';
import { type PostgresPool, createPool } from '../load/connection.js';
import { createKekFile } from '../masking/kek.js';
import { createKeyring } from '../masking/keyring-file.js';
import { writeKeyring } from '../masking/keyring.js';
import { FaultProxy } from './fault-proxy.js';
import { EVENT_COLUMNS, FIFO_COLUMNS, eventTable } from './messages.js';
import { type SqsChild, startSqsChild } from './sqs-child.js';
import { type SqsCall, SqsFaultProxy } from './sqs-fault-proxy.js';
import { configFileOf } from './workspace.js';

/** The pipeline of a run, and its table. */
export const PIPELINE = 'torture';
export const TARGET = `public.${PIPELINE}`;
/** Its queue, and that of its dead letters; the names of FIFO queues end as SQS wants it. */
const QUEUE = 'torture';
const DEAD_LETTERS = 'torture-dead';
const FIFO_SUFFIX = '.fifo';

/** Messages are invalid on purpose, and of a small run's first ones any share may be. */
const NO_BREAKER = { max_rejected_ratio: 1 };
/** Everything that was ever written stays in the append-only file, so that the search for leaks sees it. */
const REDIS_SETTINGS = { 'auto-aof-rewrite-percentage': '0' };
/** A crash is to be recovered from soon; that it is, is Postgres's own to prove. */
const POSTGRES_SETTINGS = { checkpoint_timeout: '30s' };

/** What a run works on. */
export interface ProofStack {
  readonly dir: string;
  readonly postgres: EmbeddedPostgres;
  /** Null where the queues are in Postgres. */
  readonly redis: EmbeddedRedis | null;
  readonly sqs: SqsChild;
  readonly queue: string;
  readonly deadLetters: string;
  /** Groups of the queue's messages; null: it is a standard queue. */
  readonly groups: number | null;
  /** Past all proxies. */
  readonly pool: PostgresPool;
  readonly proxies: Readonly<{ postgres: FaultProxy; redis: FaultProxy | null; sqs: FaultProxy }>;
  /** Between the proxy `sqs` and the emulator. */
  readonly sqsCalls: SqsFaultProxy;
  readonly configFile: string;
  /** The environment of maskline's processes. */
  readonly env: Readonly<{ [name: string]: string }>;
  readonly keyringFile: string;
  readonly kekFile: string;
}

/** What a run sets of its pipeline, as in maskline.yaml; all else is as the defaults have it. */
export interface PipelineSettings {
  /** A cron pattern, or `continuous`. */
  readonly schedule: string;
  readonly sqs?: { readonly visibility_timeout?: string };
  readonly batch?: { readonly max_messages?: number; readonly linger?: string };
}

/** How to start one. */
export interface ProofStackOptions {
  readonly dir: string;
  readonly releases: Releases;
  readonly backend: 'redis' | 'postgres';
  readonly pipeline: PipelineSettings;
  /** Of a FIFO queue's messages; absent: the queue is a standard one. */
  readonly groups?: number;
  /** Receives after which the queue makes a dead letter of a message. */
  readonly maxReceives: number;
  /** Of the programs that are to be found. */
  readonly searchPath: string;
  /** Hears of what SQS answers. */
  readonly onAnswer: (call: SqsCall, body: string) => void;
}

/** Starts servers and proxies, and makes the schema, the table, the queue and the keys. */
export async function startProofStack(options: ProofStackOptions): Promise<ProofStack> {
  const { dir, releases, backend, searchPath, groups = null } = options;
  const stopping = <T extends { stop(): Promise<unknown> }>(started: Promise<T>): Promise<T> =>
    releases.acquire(started, (server) => server.stop());
  const [postgres, redis, sqs] = await Promise.all([
    stopping(startPostgres({ dir: join(dir, 'postgres'), searchPath, settings: POSTGRES_SETTINGS })),
    backend === 'redis'
      ? stopping(startRedis({ dir: join(dir, 'redis'), appendOnly: true, settings: REDIS_SETTINGS }))
      : null,
    startSqsChild(releases),
  ]);
  const sqsCalls = new SqsFaultProxy(sqs.port, { onAnswer: options.onAnswer });
  await stopping(sqsCalls.start().then(() => sqsCalls));
  const proxies = {
    postgres: await stopping(FaultProxy.start(postgres.port)),
    redis: redis && (await stopping(FaultProxy.start(redis.port))),
    sqs: await stopping(FaultProxy.start(sqsCalls.port)),
  };
  const queues = await createQueues(sqs, options);
  const pool = await releases.acquire(createPool({ url: postgres.url, applicationName: 'torture' }), (open) =>
    open.close(),
  );
  const databaseUrl = withPort(postgres.url, proxies.postgres.port);
  const env = {
    PATH: searchPath,
    HOME: dir,
    DATABASE_URL: databaseUrl,
    REDIS_URL: proxies.redis ? `redis://127.0.0.1:${proxies.redis.port}` : databaseUrl,
    SQS_QUEUE_URL: queues.queue,
    AWS_ENDPOINT_URL_SQS: `http://127.0.0.1:${proxies.sqs.port}`,
    AWS_REGION: 'us-east-1',
    // The emulator takes any, but the SDK sends nothing without some.
    AWS_ACCESS_KEY_ID: 'torture',
    AWS_SECRET_ACCESS_KEY: 'torture',
  };
  mkdirSync(join(dir, 'processes'), { recursive: true });
  const files = writeFiles(options);
  await pool.query(eventTable(TARGET, groups !== null));
  await migrate(files.configFile, env);
  return { dir, postgres, redis, sqs, ...queues, groups, pool, proxies, sqsCalls, env, ...files };
}

async function createQueues(
  sqs: SqsChild,
  { groups, maxReceives }: ProofStackOptions,
): Promise<Pick<ProofStack, 'queue' | 'deadLetters'>> {
  const suffix = groups === undefined ? '' : FIFO_SUFFIX;
  const kind: { [name: string]: string } = groups === undefined ? {} : { FifoQueue: 'true' };
  const [queue, deadLetters] = [QUEUE + suffix, DEAD_LETTERS + suffix];
  const redrive = {
    deadLetterTargetArn: await sqs.createQueue(deadLetters, kind),
    maxReceiveCount: String(maxReceives),
  };
  await sqs.createQueue(queue, { ...kind, RedrivePolicy: JSON.stringify(redrive) });
  return { queue, deadLetters };
}

/** The master keys of the run, as the files have them. */
export function keyFiles({ keyringFile, kekFile }: Pick<ProofStack, 'keyringFile' | 'kekFile'>): {
  readonly keyring: string;
  readonly kek: string;
} {
  return { keyring: readFileSync(keyringFile, 'utf8'), kek: readFileSync(kekFile, 'utf8').trim() };
}

/** Where processes of maskline write what they say. */
export function processesDir(dir: string): string {
  return join(dir, 'processes');
}

function writeFiles({
  dir,
  pipeline,
  groups,
}: ProofStackOptions): Pick<ProofStack, 'configFile' | 'keyringFile' | 'kekFile'> {
  const configFile = configFileOf(dir);
  const keyringFile = join(dir, 'maskline.keyring.json');
  const kekFile = join(dir, 'kek');
  const config = {
    version: 1,
    database: { url: '${DATABASE_URL}' },
    queue: { url: '${REDIS_URL}' },
    keyring: { file: keyringFile, kek: { type: 'file', path: kekFile } },
    pipelines: {
      [PIPELINE]: {
        schedule: pipeline.schedule,
        source: { sqs: pipeline.sqs ?? {} },
        batch: pipeline.batch ?? {},
        limits: { breaker: NO_BREAKER },
        columns: groups === undefined ? EVENT_COLUMNS : { ...EVENT_COLUMNS, ...FIFO_COLUMNS },
        target: { table: TARGET },
      },
    },
  };
  // JSON is YAML.
  writeFileSync(configFile, JSON.stringify(config, null, 2));
  writeKeyring(keyringFile, createKeyring(createKekFile(kekFile), Date.now()));
  return { configFile, keyringFile, kekFile };
}

async function migrate(configFile: string, env: Readonly<{ [name: string]: string }>): Promise<void> {
  const cli = fileURLToPath(new URL('../cli/main.js', import.meta.url));
  const child = spawn(process.execPath, [cli, '-c', configFile, 'migrate'], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await once(child, 'exit');
  if (child.exitCode === 0) return;
  throw new PipelineError('schema_outdated', `maskline migrate ended with ${child.exitCode ?? 'a signal'}`);
}

function withPort(url: string, port: number): string {
  const changed = new URL(url);
  changed.port = String(port);
  return changed.href;
}
