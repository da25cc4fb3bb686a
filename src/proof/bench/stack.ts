import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import type { Config, PipelineConfig } from '../../config/config.js';
import { loadConfig } from '../../config/load.js';
import { initTemplate } from '../../config/template.js';
import { reapOrphans, startPostgres } from '../../embedded/postgres.js';
import { reapRedis, startRedis } from '../../embedded/redis.js';
import type { Releases } from '../../lifecycle.js';
import { createKekFile } from '../../masking/kek.js';
import { createKeyring } from '../../masking/keyring-file.js';
import { writeKeyring } from '../../masking/keyring.js';
import { type SqsChild, startSqsChild } from './sqs-child.js';

/** The queue that maskline reads, and those of other programs, which are measured beside it. */
const QUEUE = 'login-queue';
const OTHER_QUEUE = 'other-queue';
const PIPELINE = 'user_logins';
/** Ticks come soon after the pause ends, and none is missed by much. */
const EVERY_SECOND = '* * * * * *';

/** The servers of one run, a filled queue, and the files of a deployment. */
export interface Stack {
  readonly dir: string;
  readonly configFile: string;
  readonly keyringFile: string;
  readonly kekFile: string;
  /** The environment of maskline's processes. */
  readonly env: NodeJS.ProcessEnv;
  readonly config: Config;
  readonly pipeline: PipelineConfig;
  readonly databaseUrl: string;
  readonly sqs: SqsChild;
  readonly queueUrl: string;
  /** Each holds the same messages. */
  readonly otherQueueUrls: readonly string[];
  readonly pids: Readonly<Record<ServerName, number>>;
}

/** What runs beside maskline and is not maskline's. */
export const serverNames = ['postgres', 'redis', 'sqs_emulator'] as const;
/** One of `serverNames`. */
export type ServerName = (typeof serverNames)[number];

/** How a run is set up. */
export interface StackOptions {
  /** In each queue. */
  readonly messages: number;
  /** What PATH is looked through for servers. */
  readonly searchPath: string;
  /** How many queues for other programs are filled too. Default 0. */
  readonly others?: number;
  /** Of the pipeline, as YAML has it, besides its schedule, which is every second unless it is named here. */
  readonly settings?: Readonly<{ [key: string]: unknown }>;
}

/** Starts all servers as they come (Postgres durable, Redis in memory only), and sends the messages. */
export async function startStack(releases: Releases, options: StackOptions): Promise<Stack> {
  const { messages, searchPath, others = 0, settings = {} } = options;
  const dir = await temporaryDirectory(releases);
  const otherQueues = Array.from({ length: others }, (_, index) => `${OTHER_QUEUE}-${index}`);
  const [postgres, redis, sqs] = await Promise.all([
    releases.acquire(startPostgres({ dir: join(dir, 'postgres'), searchPath }), (server) => server.stop()),
    releases.acquire(startRedis({ dir: join(dir, 'redis') }), (server) => server.stop()),
    startSqsChild(releases, [QUEUE, ...otherQueues], messages),
  ]);
  const queueUrl = sqs.queueUrls[QUEUE] ?? '';
  const files = {
    configFile: join(dir, 'maskline.yaml'),
    keyringFile: join(dir, 'keys'),
    kekFile: join(dir, 'kek'),
  };
  const variables = {
    DATABASE_URL: postgres.url,
    REDIS_URL: redis.url,
    SQS_QUEUE_URL: queueUrl,
    AWS_ENDPOINT_URL_SQS: sqs.endpoint,
    AWS_REGION: sqs.region,
    // The emulator takes any, but the SDK sends nothing without some.
    AWS_ACCESS_KEY_ID: 'bench',
    AWS_SECRET_ACCESS_KEY: 'bench',
    MASKLINE_KEYRING: files.keyringFile,
  };
  writeFiles(files, { schedule: EVERY_SECOND, ...settings });
  const config = loadConfig({ file: files.configFile, env: variables });
  const [pipeline] = config.pipelines;
  if (pipeline === undefined) throw new TypeError('the template has one pipeline');
  return {
    dir,
    ...files,
    // Nothing else of this process's environment: it could change what is measured.
    env: { PATH: searchPath, ...variables },
    config,
    pipeline,
    databaseUrl: postgres.url,
    sqs,
    queueUrl,
    otherQueueUrls: otherQueues.map((queue) => sqs.queueUrls[queue] ?? ''),
    pids: { postgres: postgres.pid, redis: redis.pid, sqs_emulator: sqs.pid },
  };
}

/** The configuration that `maskline init` writes, but for those settings and where the KEK is. */
function writeFiles(
  { configFile, keyringFile, kekFile }: Pick<Stack, 'configFile' | 'keyringFile' | 'kekFile'>,
  settings: Readonly<{ [key: string]: unknown }>,
): void {
  const yaml = parseDocument(initTemplate({ pipeline: PIPELINE }).yaml);
  yaml.setIn(['keyring', 'kek'], { type: 'file', path: kekFile });
  for (const [key, value] of Object.entries(settings)) yaml.setIn(['pipelines', PIPELINE, key], value);
  writeFileSync(configFile, String(yaml));
  writeKeyring(keyringFile, createKeyring(createKekFile(kekFile), Date.now()));
}

/** A directory of this run's own; what a benchmark that was killed left behind is stopped and removed first. */
async function temporaryDirectory(releases: Releases): Promise<string> {
  const root = join(tmpdir(), `maskline-bench-${userInfo().username}`);
  mkdirSync(root, { recursive: true });
  for (const name of readdirSync(root)) {
    if (isAlive(Number(name))) continue;
    await reapOrphans(join(root, name));
    await reapRedis(join(root, name, 'redis'));
    rmSync(join(root, name), { recursive: true, force: true });
  }
  const dir = join(root, String(process.pid));
  mkdirSync(dir, { recursive: true });
  return releases.acquire(dir, (made) => rmSync(made, { recursive: true, force: true }));
}

function isAlive(pid: number): boolean {
  try {
    return Number.isSafeInteger(pid) && pid > 0 && process.kill(pid, 0);
  } catch {
    return false;
  }
}
