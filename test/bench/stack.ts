import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import type { PipelineConfig } from '../../src/config/config.js';
import { loadConfig } from '../../src/config/load.js';
import { initTemplate } from '../../src/config/template.js';
import { reapOrphans, startPostgres } from '../../src/embedded/postgres.js';
import { reapRedis, startRedis } from '../../src/embedded/redis.js';
import type { Releases } from '../../src/lifecycle.js';
import { createKekFile } from '../../src/masking/kek.js';
import { createKeyring } from '../../src/masking/keyring-file.js';
import { writeKeyring } from '../../src/masking/keyring.js';
import { type SqsChild, startSqsChild } from './sqs-child.js';

const QUEUE = 'login-queue';
const PIPELINE = 'user_logins';
/** Ticks come soon after the pause ends, and none is missed by much. */
const EVERY_SECOND = '* * * * * *';

/** The servers of one run, a filled queue, and the files of a deployment. */
export interface Stack {
  readonly dir: string;
  readonly configFile: string;
  /** The environment of maskline's processes. */
  readonly env: NodeJS.ProcessEnv;
  readonly pipeline: PipelineConfig;
  readonly databaseUrl: string;
  readonly sqs: SqsChild;
  readonly pids: { readonly postgres: number; readonly redis: number; readonly sqs_emulator: number };
}

/** Starts all servers as they come (Postgres durable, Redis in memory only), and sends the messages. */
export async function startStack(releases: Releases, messages: number): Promise<Stack> {
  const dir = await temporaryDirectory(releases);
  const [postgres, redis, sqs] = await Promise.all([
    releases.acquire(
      startPostgres({ dir: join(dir, 'postgres'), searchPath: process.env['PATH'] ?? '' }),
      (server) => server.stop(),
    ),
    releases.acquire(startRedis({ dir: join(dir, 'redis') }), (server) => server.stop()),
    startSqsChild(releases, QUEUE, messages),
  ]);
  const variables = {
    DATABASE_URL: postgres.url,
    REDIS_URL: redis.url,
    SQS_QUEUE_URL: sqs.queueUrl,
    AWS_ENDPOINT_URL_SQS: sqs.endpoint,
    AWS_REGION: sqs.region,
    // The emulator takes any, but the SDK sends nothing without some.
    AWS_ACCESS_KEY_ID: 'bench',
    AWS_SECRET_ACCESS_KEY: 'bench',
    MASKLINE_KEYRING: join(dir, 'maskline.keyring.json'),
  };
  const configFile = writeFiles(dir, variables.MASKLINE_KEYRING);
  const pipeline = loadConfig({ file: configFile, env: variables }).pipelines[0];
  if (pipeline === undefined) throw new TypeError('the template has one pipeline');
  return {
    dir,
    configFile,
    // Nothing else of this process's environment: it could change what is measured.
    env: { PATH: process.env['PATH'], ...variables },
    pipeline,
    databaseUrl: postgres.url,
    sqs,
    pids: { postgres: postgres.pid, redis: redis.pid, sqs_emulator: sqs.pid },
  };
}

/** The configuration that `maskline init` writes, but for the schedule and where the KEK is. */
function writeFiles(dir: string, keyringFile: string): string {
  const configFile = join(dir, 'maskline.yaml');
  const kekFile = join(dir, 'kek');
  const yaml = parseDocument(initTemplate({ pipeline: PIPELINE }).yaml);
  yaml.setIn(['keyring', 'kek'], { type: 'file', path: kekFile });
  yaml.setIn(['pipelines', PIPELINE, 'schedule'], EVERY_SECOND);
  writeFileSync(configFile, String(yaml));
  writeKeyring(keyringFile, createKeyring(createKekFile(kekFile), Date.now()));
  return configFile;
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
