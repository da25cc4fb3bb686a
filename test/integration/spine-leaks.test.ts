import assert from 'node:assert/strict';
import { assertHas } from '../support/cli.js';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { Redis } from 'ioredis';
import { createKeyring } from '../../src/masking/keyring-file.js';
import { kekFromFile } from '../../src/masking/kek.js';
import { writeKeyring } from '../../src/masking/keyring.js';
import { type Found, LeakScan, inflatedParts } from '../../src/proof/leak-scan.js';
import { ALL, COLUMNS, DDL, KEPT_COLUMNS, MESSAGES, REFUSED, SECRETS, TABLE } from '../support/canaries.js';
import { postgresContents, redisContents } from '../support/leak-scan.js';
import { withConnection } from '../support/postgres.js';
import { eventually } from '../support/queue.js';
import { type Deployment, PIPELINE, type Stack, startStack } from '../support/stack.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

/** Longer than what is looked at while a batch waits. */
const RESIDENCE = '20s';

let stack: Stack;
let deployment: Deployment;
const found: Found[] = [];
const pages: [string, string][] = [];

before(async () => {
  // The most talkative server: it logs every statement with its parameters.
  stack = await startStack({ log_statement: 'all', log_min_duration_statement: '0' });
  deployment = await stack.deployment({
    ddl: DDL,
    file: {
      keyring: { file: '${MASKLINE_KEYRING:-./maskline.keyring.json}', kek: { type: 'file', path: './kek' } },
    },
    pipeline: {
      limits: { breaker: { max_rejected_ratio: 1 } },
      columns: COLUMNS,
    },
  });
});
after(() => stack.stop());

const spawn = (...args: readonly string[]) => deployment.cli.spawn(['--log-level', 'trace', ...args]);
const run = (...args: readonly string[]) => deployment.cli.run(['--log-level', 'trace', ...args]);

/** Jobs of a stage, by what they are doing: 'wait', 'failed', … */
async function jobs(stage: 'transform' | 'load', state: 'wait' | 'failed'): Promise<number> {
  const key = `${deployment.prefix}:${stage}.${PIPELINE}:${state}`;
  return withRedis((redis) => (state === 'wait' ? redis.llen(key) : redis.zcard(key)));
}

async function withRedis<T>(work: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(stack.redis.url);
  try {
    return await work(redis);
  } finally {
    redis.disconnect();
  }
}

async function lookIntoRedis(when: string): Promise<void> {
  const contents = await redisContents(stack.redis.url, stack.redis.dir);
  found.push(
    ...new LeakScan(ALL).scanAll(contents).map((one) => ({ ...one, where: `${when}: ${one.where}` })),
  );
}

async function lookAtPages(port: unknown): Promise<void> {
  for (const path of ['/metrics', '/readyz?verbose', '/livez', '/nothing-here']) {
    const answer = await fetch(`http://127.0.0.1:${Number(port)}${path}`);
    pages.push([
      `${path} ${answer.status}`,
      `${JSON.stringify([...answer.headers])}\n${await answer.text()}`,
    ]);
  }
}

describe('values that must not get out', () => {
  test('are found by the scan wherever they are planted', async () => {
    const scan = new LeakScan(ALL);
    const value = SECRETS.unlisted;
    const bytes = Buffer.from(value);
    const planted: readonly (string | Buffer)[] = [
      value,
      ...['', 'a', 'ab'].map((before) => Buffer.from(`${before}${value}xyz`).toString('base64')),
      ...['', 'a', 'ab'].map((before) => Buffer.from(`${before}${value}xyz`).toString('base64url')),
      bytes.toString('hex'),
      encodeURIComponent(value),
      JSON.stringify({ value }),
      Buffer.from(value, 'utf16le'),
    ];
    for (const content of planted) {
      assert.deepEqual(
        [...new Set(scan.scan('-', content).map((one) => one.canary))],
        ['unlisted'],
        String(content),
      );
    }
    assert.deepEqual(scan.scan('-', 'canary-devic'), []);
    const deflated = Buffer.concat([Buffer.alloc(12), deflateRawSync(`{"ip":"${value}","ip":"${value}"}`)]);
    const inflated = [...inflatedParts(`{"ct":"${deflated.toString('base64')}"}`)];
    assert.ok(inflated.some((part) => scan.scan('-', part).length > 0));

    const inRedis = await withRedis(async (redis) => {
      await redis.xadd('planted', '*', 'field', Buffer.from(`.${SECRETS.device}`).toString('base64'));
      const contents = await redisContents(stack.redis.url, stack.redis.dir);
      await redis.del('planted');
      return new Set(scan.scanAll(contents).map((one) => one.where));
    });
    assert.deepEqual([...inRedis].sort(), ['Redis dump.rdb', 'Redis key planted']);
  });

  test('are not in Redis while their batches wait in either queue', async () => {
    await deployment.sendMessages(MESSAGES);
    const drain = spawn('drain', '--ingest-only');
    await eventually(
      () => jobs('transform', 'wait'),
      (count) => count > 0,
      60_000,
    );
    await lookIntoRedis('waiting for transform');
    const transform = spawn('run', 'transform');
    await lookAtPages((await transform.waitFor('listening'))['port']);
    await eventually(
      () => jobs('load', 'wait'),
      (count) => count > 0,
      60_000,
    );
    await lookIntoRedis('waiting for load');
    const load = spawn('run', 'load');
    const { code, stderr, rows } = await drain.ended;
    assert.equal(code, 0, stderr);
    assert.equal(rows[0]?.['loaded'], 1);
    assert.equal(rows[0]?.['quarantined'], MESSAGES.length - 1);
    await lookAtPages((await load.waitFor('listening'))['port']);
    await lookAtPages((await transform.waitFor('listening'))['port']);
    for (const worker of [transform, load]) {
      worker.signal('SIGTERM');
      assert.equal((await worker.ended).code, 0);
    }
    await lookIntoRedis('after all was loaded');
  });

  /** Starts a drain whose first COPY finds that its table is gone. */
  const drainIntoNothing = (...options: readonly string[]) =>
    withConnection(deployment.database, async (client) => {
      await client.query(`begin; lock table ${TABLE} in access exclusive mode`);
      const drain = spawn('drain', ...options);
      // What is looked at before a start is in the catalog only; a COPY waits.
      await deployment.countUntil(
        `pg_locks where not granted and relation = '${TABLE}'::regclass`,
        (count) => count > 0,
      );
      await client.query(`alter table ${TABLE} rename to elsewhere; commit`);
      return drain;
    });
  const bringBack = () => deployment.query(`alter table public.elsewhere rename to ${PIPELINE}`);

  test('are not in a load job that fails for good, since its table is gone', async () => {
    await deployment.sendMessages(MESSAGES);
    const drain = await drainIntoNothing();
    assert.equal((await drain.ended).code, 1, drain.stderr);
    await drain.waitFor('job_failed');
    assert.ok((await jobs('load', 'failed')) > 0);
    await lookIntoRedis('after a load job failed');
    await bringBack();
    assert.equal(await deployment.count(TABLE), 1, 'nothing more was loaded');
  });

  test('are not in what a worker leaves that stops since its table is gone', async () => {
    // What comes once the worker is gone is not waited for until the test is over.
    deployment.configurePipeline({ limits: { residence: RESIDENCE } });
    await deployment.sendMessages(MESSAGES);
    const load = spawn('run', 'load');
    const transform = spawn('run', 'transform');
    await load.waitFor('started');
    const drain = await drainIntoNothing('--ingest-only');
    assert.equal((await load.ended).code, 2, load.stderr);
    await load.waitFor('pipeline_stopped');
    assert.match(load.stderr, /table public\.user_logins/);
    assert.equal((await drain.ended).code, 1, 'it does not wait for a worker that is gone');
    await lookIntoRedis('after a worker stopped');
    await bringBack();
    transform.signal('SIGTERM');
    assert.equal((await transform.ended).code, 0);
  });

  test('are not in a transform job that fails for good, since the worker has another key', async () => {
    await deployment.sendMessages(MESSAGES);
    const other = `${deployment.dir}/other.keyring.json`;
    writeKeyring(other, createKeyring(kekFromFile(deployment.kekFile), Date.now()));
    const drain = spawn('drain', '--ingest-only');
    await eventually(
      () => jobs('transform', 'wait'),
      (count) => count > 0,
      60_000,
    );
    const transform = deployment.cli.spawn(['--log-level', 'trace', 'run', 'transform'], {
      env: { MASKLINE_KEYRING: other },
    });
    await eventually(
      () => jobs('transform', 'failed'),
      (count) => count > 0,
      60_000,
    );
    await lookIntoRedis('after a transform job failed');
    assert.equal((await drain.ended).code, 1);
    assert.equal((await transform.ended).code, 2);
    assertHas(await transform.waitFor('job_failed'), { code: 'key_unavailable', final: true });
  });

  test('are in no output of the commands that look at all this', async () => {
    // Printed, and so part of what the next test searches.
    const { rows } = await run('runs', 'list');
    assert.equal(rows.length, 4);
    const shows = rows.map((row) => ['runs', 'show', String(row['run_id'])]);
    const others = [
      ['validate', '--connect', '--json'],
      ['migrate', 'status'],
    ];
    const ended = await Promise.all([...shows, ...others].map((args) => run(...args)));
    assert.deepEqual([...new Set(ended.map(({ code }) => code))], [0]);
  });

  test('were found nowhere: Redis, logs and outputs of every process, pages, tables, and the log of Postgres', async () => {
    const scan = new LeakScan(ALL);
    const outputs = deployment.cli.processes.flatMap((each, i): [string, string][] => [
      [`stdout of process ${i}`, each.stdout],
      [`stderr of process ${i}`, each.stderr],
    ]);
    assert.ok(
      outputs.some(([, text]) => text.includes('"level":"debug"')),
      'the logs were at their most talkative',
    );
    assert.ok(pages.some(([, text]) => text.includes('maskline_rows_quarantined_total{')));
    const query = (sql: string) => deployment.query(sql);
    const tables = await postgresContents(query, ['maskline.quarantine.sealed', ...KEPT_COLUMNS]);
    const serverLog = await stack.postgres.log();
    assert.deepEqual(
      [
        ...found,
        ...scan.scanAll(outputs),
        ...scan.scanAll(pages),
        ...scan.scanAll(tables),
        // A row that its table refuses is quoted by Postgres in its own log: masked as it is, with what is kept.
        ...new LeakScan(SECRETS).scan("Postgres's log", serverLog),
      ],
      [],
    );
  });

  test('that are meant to be stored are found where they are stored', async () => {
    const query = (sql: string) => deployment.query(sql);
    const tables = await postgresContents(query, ['maskline.quarantine.sealed']);
    const places = new LeakScan(ALL).scanAll(tables).map(({ canary, where }) => `${canary} in ${where}`);
    assert.deepEqual([...new Set(places)], [`kept in table ${TABLE}.user_id`]);
    // The log is the right one, and complete: it has the refused row.
    assert.notDeepEqual(new LeakScan(REFUSED).scan('-', await stack.postgres.log()), []);
  });

  test('among them are the secrets of the deployment itself', async () => {
    const secrets = {
      kek: readFileSync(deployment.kekFile, 'utf8').trim(),
      database: new URL(deployment.database).password,
      ...Object.fromEntries(
        [...deployment.masters()].map(([kid, key]) => [`key ${kid}`, key.toString('base64')]),
      ),
    };
    const scan = new LeakScan(secrets);
    const outputs = deployment.cli.processes.map((each, i): [string, string] => [
      `process ${i}`,
      `${each.stdout}${each.stderr}`,
    ]);
    const inRedis = await redisContents(stack.redis.url, stack.redis.dir);
    assert.deepEqual([...scan.scanAll(outputs), ...scan.scanAll(pages), ...scan.scanAll(inRedis)], []);
    assert.notDeepEqual(scan.scan('-', readFileSync(deployment.kekFile)), []);
  });
});
