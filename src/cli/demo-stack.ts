import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { parseDocument } from 'yaml';
import { initTemplate } from '../config/template.js';
import { reapOrphans, startPostgres } from '../embedded/postgres.js';
import { reachable, unprivilegedUser } from '../embedded/postgres-binaries.js';
import { INSTALL_REDIS, findRedisServer, reapRedis, startRedis } from '../embedded/redis.js';
import { type SqsServer, startSqs } from '../embedded/sqs.js';
import type { Releases } from '../lifecycle.js';
import { createKekFile } from '../masking/kek.js';
import { createKeyring } from '../masking/keyring-file.js';
import { writeKeyring } from '../masking/keyring.js';

/** The servers of a demo, and the files that a user would have written. */
export interface DemoStack {
  readonly dir: string;
  readonly sqs: SqsServer;
  readonly queueName: string;
  readonly queueBackend: 'redis' | 'postgres';
  readonly configFile: string;
  /** What maskline.yaml reads from the environment. */
  readonly variables: Readonly<{ [name: string]: string }>;
}

/** How to start one. */
export interface DemoStackOptions {
  /** Null: a temporary one, removed at the end. */
  readonly keep: string | null;
  /** Messages that `redeliver` can bring back. */
  readonly remember: number;
  readonly releases: Releases;
  /** Hears of each step. */
  readonly tell: (line: string) => void;
}

const QUEUE_NAME = 'login-queue';
const PIPELINE = 'user_logins';

/** Starts Postgres, the queue's server and SQS side by side, and writes configuration, keyring and KEK. */
export async function startDemoStack(options: DemoStackOptions): Promise<DemoStack> {
  const { releases, tell } = options;
  const dir = options.keep === null ? await temporaryDirectory(releases) : resolve(options.keep);
  mkdirSync(dir, { recursive: true });
  const hasRedis = findRedisServer() !== null;
  if (!hasRedis) {
    tell(`no redis-server here, so the queues are BullMQ on Postgres; to see it on Redis: ${INSTALL_REDIS}`);
  }
  const [postgres, redis, sqs] = await Promise.all([
    releases.acquire(
      databaseDirectory(dir, tell).then((place) =>
        startPostgres({ dir: place, durable: options.keep !== null }),
      ),
      (server) => server.stop(),
    ),
    hasRedis ? releases.acquire(startRedis({ dir: join(dir, 'redis') }), (server) => server.stop()) : null,
    releases.acquire(startSqs({ remember: options.remember }), (server) => server.stop()),
  ]);
  const servers = [`Postgres on port ${postgres.port}`, redis && `Redis on port ${redis.port}`];
  tell(`${servers.filter(Boolean).join(', ')}, SQS emulator on port ${sqs.port}`);
  const variables = {
    DATABASE_URL: postgres.url,
    REDIS_URL: redis?.url ?? postgres.url,
    SQS_QUEUE_URL: await sqs.createQueue(QUEUE_NAME),
    AWS_ENDPOINT_URL_SQS: sqs.endpoint,
    AWS_REGION: sqs.region,
    AWS_ACCESS_KEY_ID: 'demo',
    AWS_SECRET_ACCESS_KEY: 'demo',
    MASKLINE_KEYRING: join(dir, 'maskline.keyring.json'),
  };
  const configFile = writeFiles(dir, variables);
  return {
    dir,
    sqs,
    queueName: QUEUE_NAME,
    queueBackend: redis ? 'redis' : 'postgres',
    configFile,
    variables,
  };
}

/**
 * Where the database goes: into the demo's directory, or, where that lies below one that the user whom Postgres runs as
 * may not enter, to a place of its own with a link to it.
 */
async function databaseDirectory(dir: string, tell: (line: string) => void): Promise<string> {
  const place = join(dir, 'postgres');
  if (existsSync(place)) return realpathSync(place);
  const runAs = unprivilegedUser();
  if (runAs === null || (await reachable(dir, runAs))) return place;
  // Not in the temporary directory proper, which is emptied at every boot: it is to be kept.
  const elsewhere = mkdtempSync('/var/tmp/maskline-demo-');
  // A link that leads nowhere is of a database that somebody removed.
  rmSync(place, { force: true });
  symlinkSync(elsewhere, place);
  tell(`Postgres does not run as root, and others may not enter ${dir}: its database is in ${elsewhere}`);
  return elsewhere;
}

/** The files of a deployment; those that an earlier demo left with `--keep` stay, but for the addresses in .env. */
function writeFiles(dir: string, variables: Readonly<{ [name: string]: string }>): string {
  const configFile = join(dir, 'maskline.yaml');
  const kekFile = join(dir, 'kek');
  const yaml = parseDocument(initTemplate({ pipeline: PIPELINE }).yaml);
  yaml.setIn(['keyring', 'kek'], { type: 'file', path: kekFile });
  // As many bad messages as are asked for: the demo is to show them in quarantine, not to stop at them.
  yaml.setIn(['pipelines', PIPELINE, 'limits'], { breaker: { max_rejected_ratio: 1 } });
  writeFileSync(configFile, String(yaml));
  const keyringFile = variables['MASKLINE_KEYRING'] ?? '';
  if (!readdirSync(dir).includes('kek'))
    writeKeyring(keyringFile, createKeyring(createKekFile(kekFile), Date.now()));
  const lines = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  writeFileSync(join(dir, '.env'), `${lines.join('\n')}\n`, { mode: 0o600 });
  return configFile;
}

/** A directory of this process's own; what demos that were killed left behind is stopped and removed first. */
async function temporaryDirectory(releases: Releases): Promise<string> {
  const root = join(tmpdir(), `maskline-demo-${userInfo().username}`);
  mkdirSync(root, { recursive: true });
  for (const name of readdirSync(root)) {
    if (isAlive(Number(name))) continue;
    await reapOrphans(join(root, name));
    await reapRedis(join(root, name, 'redis'));
    rmSync(join(root, name), { recursive: true, force: true });
  }
  return releases.acquire(join(root, String(process.pid)), (dir) =>
    rmSync(dir, { recursive: true, force: true }),
  );
}

function isAlive(pid: number): boolean {
  try {
    return Number.isSafeInteger(pid) && pid > 0 && process.kill(pid, 0);
  } catch {
    return false;
  }
}
