import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import pg from 'pg';
import type { CliProcess } from '../support/cli.js';
import { SMALL_COLUMNS, smallEvents } from '../support/events.js';
import { withConnection } from '../support/postgres.js';
import { eventually } from '../support/queue.js';
import { Sent, allSettled, assertSameEnd } from '../support/same-end.js';
import { type Deployment, PIPELINE, type Stack, startStack } from '../support/stack.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

const TABLE = `public.${PIPELINE}`;
const LIMIT_MS = 120_000;
/** Messages for each fault; one in ten is bad. */
const MESSAGES = 50;
const FAULTS = 7;
/** More than maskline takes, so that the test must take the rest. */
const CONNECTIONS = '40';
/** Longer than the test needs to complete a circle of locks once it sees a loader wait. */
const DEADLOCK_TIMEOUT = '3s';
const LOADER_WAITS = `pg_stat_activity where application_name = 'maskline-all' and wait_event_type = 'Lock'
  and query like 'copy%' and datname = current_database()`;

let stack: Stack;
let deployment: Deployment;
let all: CliProcess;
let sent: Sent;
let disk: SmallDisk | null = null;
before(async () => {
  stack = await startStack({ max_connections: CONNECTIONS, deadlock_timeout: DEADLOCK_TIMEOUT });
  deployment = await stack.deployment({
    ddl: `create table ${TABLE} (event_id varchar(32) not null, device varchar(256) not null)`,
    pipeline: {
      schedule: '* * * * * *',
      batch: { max_messages: 25, linger: '50ms' },
      columns: SMALL_COLUMNS,
    },
  });
  sent = new Sent(deployment, smallEvents(FAULTS * MESSAGES, 10));
  all = deployment.cli.spawn(['run', 'all'], { limitMs: LIMIT_MS });
  await all.waitFor('started');
});
after(async () => {
  await stack.stop();
  disk?.remove();
});

/** Resolves when the server has refused maskline something for that reason, after now. */
async function refusal(reason: RegExp): Promise<void> {
  const from = (await stack.postgres.log()).length;
  await eventually(
    () => stack.postgres.log(),
    (log) => reason.test(log.slice(from)),
    LIMIT_MS,
  );
}

let total = 0;
async function sendMore(): Promise<void> {
  await sent.send(MESSAGES);
  total += MESSAGES;
}

/** All that was sent so far is settled. */
async function settled(): Promise<void> {
  await deployment.countUntil('maskline.ledger', (count) => count >= total, LIMIT_MS);
  assert.ok(all.isRunning, all.stderr);
}

const failedJobs = (): number => all.log.all.filter(({ event }) => event === 'job_failed').length;

/** All that was sent is settled, and no attempt was spent since there were so many. */
async function settledForFree(attempts: number): Promise<void> {
  await settled();
  assert.equal(failedJobs(), attempts, 'an outage has cost an attempt');
}

const MASKLINE_SESSIONS = `pg_stat_activity
  where application_name like 'maskline%' and datname = current_database()`;
/** The next sessions begin under new settings. */
const newSessions = `select pg_terminate_backend(pid) from ${MASKLINE_SESSIONS}`;

test('the database is read-only (25006): it is waited out, and all comes to its end', async () => {
  const attempts = failedJobs();
  const name = new URL(deployment.database).pathname.slice(1);
  const refused = refusal(/cannot execute .* in a read-only transaction/);
  await deployment.query(`alter database ${name} set default_transaction_read_only = on`);
  await deployment.query(newSessions);
  await sendMore();
  await refused;
  await withConnection(stack.postgres.server.url, (client) =>
    client.query(`alter database ${name} reset default_transaction_read_only`),
  );
  await deployment.query(newSessions);
  await settledForFree(attempts);
});

test('there are too many connections (53300): it is waited out, and all comes to its end', async () => {
  const attempts = failedJobs();
  const taken: pg.Client[] = [];
  await withConnection(deployment.database, async (client) => {
    // What maskline has to give up, the test takes.
    for (let left = 1; left > 0;) {
      await client.query(newSessions);
      await takeAll(taken);
      const { rowCount } = await client.query(`select 1 from ${MASKLINE_SESSIONS}`);
      left = rowCount ?? 0;
    }
    const refused = refusal(/too many clients|remaining connection slots/);
    await sendMore();
    await refused;
  });
  await Promise.all(taken.map((client) => client.end()));
  await settledForFree(attempts);
});

test('the disk is full (53100): it is waited out, and all comes to its end', async (t) => {
  const attempts = failedJobs();
  disk = smallDisk();
  t.diagnostic(disk ? 'a file system of 8 MiB' : 'no right to mount: the server itself raises the error');
  const refused = refusal(/No space left on device[^]*COPY user_logins/);
  if (disk) {
    const { dir } = disk;
    await deployment.query(`create tablespace small location '${dir}'`);
    await deployment.query(`alter table ${TABLE} set tablespace small`);
    await deployment.query('create table public.ballast (text text) tablespace small');
    await assert.rejects(
      deployment.query(
        `do $$ begin loop insert into public.ballast select repeat(md5(i::text), 60) from generate_series(1, 100) i;
           commit; end loop; end $$`,
      ),
      { code: '53100' },
    );
  } else {
    await deployment.query(
      `create function full_disk() returns trigger language plpgsql as
         $$ begin raise exception 'No space left on device' using errcode = '53100'; end $$;
       create trigger full_disk before insert on ${TABLE} for each row execute function full_disk()`,
    );
  }
  await sendMore();
  await refused;
  await deployment.query(disk ? 'drop table public.ballast' : `drop trigger full_disk on ${TABLE}`);
  await settledForFree(attempts);
  if (!disk) return;
  await deployment.query(`alter table ${TABLE} set tablespace pg_default`);
  await deployment.query('drop tablespace small');
});

test('a statement is canceled, as by statement_timeout (57014): the batch is tried again', async () => {
  await withConnection(deployment.database, async (client) => {
    await client.query(`begin; lock table ${TABLE}`);
    await sendMore();
    await deployment.countUntil(LOADER_WAITS, (count) => count > 0);
    await client.query(`select pg_cancel_backend(pid) from ${LOADER_WAITS}`);
    await client.query('rollback');
  });
  await settled();
  assert.ok(attempts('statement_timeout') > 0, 'no batch was tried again');
});

test('a table stays locked beyond lock_timeout (55P03): the batch is tried again', async () => {
  const before = attempts('contention');
  await withConnection(deployment.database, async (client) => {
    await client.query(`begin; lock table ${TABLE}`);
    await sendMore();
    await all.log.take(before + 1, isAttempt('contention'), LIMIT_MS);
    await client.query('rollback');
  });
  await settled();
});

test('a loader is the victim of a deadlock (40P01): the batch is tried again', async () => {
  const before = attempts('contention');
  await withConnection(deployment.database, async (client) => {
    // Only the loader looks for the circle before the test would.
    await client.query(`set deadlock_timeout = '60s'; begin; lock table ${TABLE} in exclusive mode`);
    await sendMore();
    await deployment.countUntil(LOADER_WAITS, (count) => count > 0);
    // The loader holds its ledger entries, and waits for the table.
    await client.query('lock table maskline.ledger in exclusive mode');
    await client.query('rollback');
  });
  await settled();
  assert.ok(attempts('contention') > before, 'no batch was tried again');
  assert.match(await stack.postgres.log(), /deadlock detected/);
});

test('after all of that no process has ended, no batch has failed, and the end is the same', async () => {
  await sendMore();
  await allSettled(sent);
  all.signal('SIGTERM');
  assert.equal((await all.ended).code, 0, all.stderr);
  await assertSameEnd(sent);
  const failed = all.log.all.filter(({ event }) => event === 'job_failed');
  assert.deepEqual(
    failed.filter(({ final, code }) => final === true || code === 'postgres_unavailable'),
    [],
    'an outage spends no attempt, and what spends one passes',
  );
  assert.ok(!all.log.all.some(({ event }) => event === 'batch_let_go'));
});

test('a loader whose transaction idles for too long (25P03) is cut off, and its batch is loaded by the next attempt', async () => {
  const own = await stack.deployment({
    ddl: `create table ${TABLE} (event_id varchar(32) not null, device varchar(256) not null)`,
    pipeline: { columns: SMALL_COLUMNS },
  });
  const few = new Sent(own, smallEvents(20, 10));
  await few.send(20);
  const drain = await own.cli.run(['drain'], {
    env: { MASKLINE_ALLOW_FAILPOINTS: '1', MASKLINE_FAILPOINTS: 'load.copied=delay(12s)@once' },
  });
  assert.equal(drain.code, 0, drain.stderr);
  await assertSameEnd(few);
  assert.match(await stack.postgres.log(), /terminating connection due to idle-in-transaction timeout/);
});

const isAttempt =
  (code: string) =>
  (line: { readonly [name: string]: unknown }): boolean =>
    line['event'] === 'job_failed' && line['code'] === code;

function attempts(code: string): number {
  return all.log.all.filter(isAttempt(code)).length;
}

/** Connects until the server refuses. */
async function takeAll(taken: pg.Client[]): Promise<void> {
  for (;;) {
    const client = new pg.Client(stack.postgres.server.url);
    client.on('error', () => undefined);
    try {
      await client.connect();
      taken.push(client);
    } catch (error) {
      assert.ok(error instanceof Error && 'code' in error && error.code === '53300');
      return;
    }
  }
}

interface SmallDisk {
  readonly dir: string;
  remove(): void;
}

/** A file system of a few MiB that Postgres may write to; null without the right to mount one. */
function smallDisk(): SmallDisk | null {
  const dir = mkdtempSync(join(tmpdir(), 'maskline-small-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m,mode=0700', 'tmpfs', dir], { stdio: 'ignore' });
  } catch {
    rmSync(dir, { recursive: true });
    return null;
  }
  const { uid, gid } = statSync(join(stack.postgres.server.dir, 'data'));
  chownSync(dir, uid, gid);
  return {
    dir,
    remove: () => {
      execFileSync('umount', [dir]);
      rmSync(dir, { recursive: true });
    },
  };
}
