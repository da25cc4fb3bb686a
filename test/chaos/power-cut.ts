// `npm run power-cut [-- --messages N]`: Postgres and Redis on file systems of their own, in image files. In the
// middle of a load both are stopped at one instant and the images copied as the disk has them: what was written and
// not synced is not in the copy, as after a power cut. Both go on from the copies; what was committed before must be
// there, what Redis (appendfsync everysec) has lost comes back from SQS, and the end is the same as ever. Needs root and
// loop devices; says so and ends with 2 where there are none.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startPostgres } from '../../src/embedded/postgres.js';
import { startRedis } from '../../src/embedded/redis.js';
import { startSqs } from '../../src/embedded/sqs.js';
import { migrate } from '../../src/load/migrate.js';
import { SMALL_COLUMNS, smallEvents } from '../support/events.js';
import { withDescendants } from '../mutants/process.js';
import { withConnection } from '../support/postgres.js';
import { eventually } from '../support/queue.js';
import { Sent, allSettled, assertSameEnd } from '../support/same-end.js';
import { PIPELINE, Stack } from '../support/stack.js';

const IMAGE_MB = 600;
const LIMIT_MS = 300_000;
const DEFAULT_MESSAGES = 20_000;
/** The power is cut when this part of the messages is committed. */
const CUT_AFTER = 0.1;

/** A file system in an image file. */
class ImageDisk {
  readonly dir: string;
  readonly #root: string;
  #image: string;

  constructor() {
    this.#root = mkdtempSync(join(tmpdir(), 'maskline-power-cut-'));
    // Postgres runs as another user.
    chmodSync(this.#root, 0o755);
    this.dir = join(this.#root, 'disk');
    this.#image = join(this.#root, 'image');
    mkdirSync(this.dir);
    execFileSync('truncate', ['-s', `${IMAGE_MB}M`, this.#image]);
    execFileSync('mkfs.ext4', ['-q', '-F', this.#image]);
    this.#mount();
  }

  /** Stops the processes, takes away what they have not synced, and ends them. */
  cut(pids: readonly number[]): void {
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    const copy = join(this.#root, 'copy');
    execFileSync('cp', ['--sparse=always', this.#image, copy]);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    this.#image = copy;
  }

  /** In place of the disk, what of it had been written when the power was cut. */
  restore(): void {
    execFileSync('umount', [this.dir]);
    this.#mount();
  }

  remove(): void {
    execFileSync('umount', [this.dir]);
    rmSync(this.#root, { recursive: true });
  }

  #mount(): void {
    execFileSync('mount', ['-o', 'loop', this.#image, this.dir]);
  }
}

/** The disk, or why there can be none. */
function openDisk(): ImageDisk | string {
  if (process.getuid?.() !== 0)
    return 'only root may mount a disk image: run it as root, in a machine of its own';
  try {
    return new ImageDisk();
  } catch {
    return 'no disk image can be made and mounted here: it needs mkfs.ext4, mount, and loop devices';
  }
}

async function ended(pids: readonly number[]): Promise<void> {
  const isAlive = (pid: number): boolean => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };
  await eventually(
    async () => pids.filter(isAlive).length,
    (left) => left === 0,
    LIMIT_MS,
  );
}

async function main(messages: number, disk: ImageDisk): Promise<object> {
  const server = await startPostgres({ dir: join(disk.dir, 'postgres') });
  const redisDir = join(disk.dir, 'redis');
  const redis = await startRedis({ dir: redisDir, appendOnly: true });
  const sqs = await startSqs({ remember: messages });
  const database = async (): Promise<string> => {
    await withConnection(server.url, (client) => client.query('create database logins'));
    const url = new URL(server.url);
    url.pathname = '/logins';
    await migrate(url.href);
    return url.href;
  };
  const stack = new Stack({
    postgres: {
      server,
      database,
      migratedDatabase: database,
      log: async () => '',
      stop: () => server.stop(),
    },
    // `stop` and `restart` belong to the server's class.
    redis: Object.assign(redis, { dir: redisDir }),
    sqs,
  });
  try {
    const deployment = await stack.deployment({
      ddl: `create table public.${PIPELINE} (event_id varchar(32) not null, device varchar(256) not null)`,
      pipeline: {
        schedule: '* * * * * *',
        batch: { max_messages: 100, linger: '100ms' },
        columns: SMALL_COLUMNS,
      },
    });
    const sent = new Sent(deployment, smallEvents(messages, 100));
    await sent.send(messages);
    const all = deployment.cli.spawn(['run', 'all'], { limitMs: LIMIT_MS });
    await deployment.countUntil('maskline.ledger', (count) => count > messages * CUT_AFTER, LIMIT_MS);
    const keys = 'select record_id from maskline.ledger';
    const committed = (await deployment.query(keys)).map((row) => String(row['record_id']));
    const pids = [...withDescendants(server.pid), redis.pid];
    disk.cut(pids);
    await ended(pids);
    disk.restore();
    await Promise.all([server.restart({ mode: 'immediate' }), redis.restart()]);
    const found = new Set((await deployment.query(keys)).map((row) => String(row['record_id'])));
    const lost = committed.filter((id) => !found.has(id)).length;
    assert.equal(lost, 0, `${lost} records were committed and are gone`);
    assert.ok(found.size < messages, 'all was committed before the cut: send more messages');
    await allSettled(sent);
    assert.ok(all.isRunning, all.stderr);
    all.signal('SIGTERM');
    assert.equal((await all.ended).code, 0, all.stderr);
    await assertSameEnd(sent);
    const letGo = all.log.all.filter(({ event }) => event === 'batch_let_go').length;
    return {
      messages,
      committed_before: committed.length,
      found_after: found.size,
      lost,
      batches_lost_by_redis: letGo,
    };
  } finally {
    await stack.stop();
  }
}

const { values } = parseArgs({
  options: { messages: { type: 'string', default: String(DEFAULT_MESSAGES) } },
});
const disk = openDisk();
if (typeof disk === 'string') {
  process.stderr.write(`the power cut can't be tried: ${disk}\n`);
  process.exitCode = 2;
} else {
  try {
    process.stdout.write(`${JSON.stringify(await main(Number(values.messages), disk))}\n`);
  } finally {
    disk.remove();
  }
}
