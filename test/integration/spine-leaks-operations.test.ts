// What operators do with a deployment, at its most talkative, while values that must not get out go through it.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import { loadConfig } from '../../src/index.js';
import { LeakScan } from '../../src/proof/leak-scan.js';
import { processProbe } from '../../src/roles/suspect.js';
import { ALL, COLUMNS, DDL, GOOD, KEPT_COLUMNS, MESSAGES, SECRETS } from '../support/canaries.js';
import { type CliProcess, type CliResult, assertHas } from '../support/cli.js';
import { ask } from '../support/http.js';
import { postgresContents, redisContents } from '../support/leak-scan.js';
import { batchOf } from '../support/masking.js';
import { processesBelow } from '../support/processes.js';
import { eventually } from '../support/queue.js';
import { type Deployment, PIPELINE, type Stack, startStack } from '../support/stack.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

/** More than maskline receives any message here. */
const MAX_RECEIVES = 9;
/** The gate stops it: a kept field repeats what is masked. */
const LEAKING = { body: JSON.stringify({ ...GOOD, note: SECRETS.device }) };

let stack: Stack;
let deployment: Deployment;
let redis: Redis;
let admin: CliProcess;
/** Every command that any client sent to Redis. */
const monitored: string[] = [];
const pages: [string, string][] = [];
/** Arguments and environments of all processes at some moments. */
const processes: [string, string][] = [];
let temporary = '';

before(async () => {
  stack = await startStack({ log_statement: 'all', log_min_duration_statement: '0' });
  await stack.sqs.createQueue('dead');
  const redrive = { deadLetterTargetArn: stack.sqs.queueArn('dead'), maxReceiveCount: MAX_RECEIVES };
  redis = new Redis(stack.redis.url);
  await redis.config('SET', 'appendonly', 'yes', 'slowlog-log-slower-than', '0', 'slowlog-max-len', '100000');
  const monitor = await redis.monitor();
  monitor.on('monitor', (_: string, args: readonly string[]) => monitored.push(args.join(' ')));
  deployment = await stack.deployment({
    ddl: DDL,
    queueAttributes: { RedrivePolicy: JSON.stringify(redrive) },
    pipeline: { leak_gate: true, limits: { breaker: { max_rejected_ratio: 1 } }, columns: COLUMNS },
  });
  temporary = join(deployment.dir, 'tmp');
  mkdirSync(temporary);
  closing.push(() => monitor.disconnect());
});
const closing: (() => void)[] = [() => redis.disconnect()];
after(async () => {
  for (const close of closing) close();
  await stack.stop();
});

/** The admin process is there for all of the tests. */
const LIMIT_MS = 280_000;
const spawn = (...args: readonly string[]) =>
  deployment.cli.spawn(['--log-level', 'trace', ...args], { env: { TMPDIR: temporary }, limitMs: LIMIT_MS });

async function run(...args: readonly string[]): Promise<CliResult> {
  const started = spawn('--yes', ...args);
  const ended = await started.ended;
  return ended;
}

/** Commands that have nothing to do with each other, side by side; each ends with the code. */
async function all(code: number, commands: readonly (readonly string[])[]): Promise<readonly CliResult[]> {
  const results = await Promise.all(commands.map((args) => run(...args)));
  for (const [i, result] of results.entries())
    assert.equal(result.code, code, `${commands[i]?.join(' ')}: ${result.stderr}`);
  return results;
}

async function lookAtPages(): Promise<void> {
  const { port } = await admin.waitFor('listening');
  const queues = ['transform', 'load'].flatMap((stage) =>
    ['failed', 'waiting', 'completed'].map(
      (status) =>
        `/queues/api/queues?activeQueue=${stage}.${PIPELINE}&status=${status}&page=1&jobsPerPage=100`,
    ),
  );
  for (const path of [
    '/',
    '/failed',
    '/quarantine',
    '/api/status',
    '/metrics',
    '/readyz?verbose',
    '/livez',
    '/queues',
    '/none',
    ...queues,
  ]) {
    const { status, text, headers } = await ask(port, path);
    pages.push([`${path} ${status}`, `${JSON.stringify(headers)}\n${text}`]);
  }
}

const lookAtProcesses = (): number => processes.push(...processesBelow(process.pid));

/** Receives without settling until SQS has moved all there is to the dead-letter queue. */
async function wearOut(): Promise<void> {
  await eventually(
    () => deployment.receiveCounts(),
    (counts) => counts.length === 0,
    60_000,
  );
}

describe('values that must not get out', () => {
  test('of messages that are loaded, rejected, refused and delivered twice', async () => {
    admin = spawn('run', 'admin');
    await deployment.sendMessages(MESSAGES);
    const drain = spawn('drain');
    await drain.waitFor('batch_masked');
    lookAtProcesses();
    assertHas((await drain.ended).rows[0], { received: MESSAGES.length, loaded: 1 });
    await stack.sqs.redeliver(deployment.queue, 'all');
    assertHas((await run('drain')).rows[0], { received: MESSAGES.length, duplicates: MESSAGES.length });
    await lookAtPages();
  });

  test('of a batch that the gate stops, that is looked at as a failed job, and retried', async () => {
    await deployment.sendMessages([LEAKING, ...MESSAGES.slice(0, 4)]);
    assertHas((await run('drain')).rows[0], { received: 5, released: 5 });
    const { rows } = await run('failed', 'list');
    assert.deepEqual(
      rows.map((row) => row['code']),
      ['leak_found'],
    );
    await all(0, [['failed', 'show', String(rows[0]?.['job_id'])]]);
    await lookAtPages();
    deployment.configurePipeline({
      columns: { ...COLUMNS, note: { from: 'note', mask: { method: 'drop' } } },
    });
    assertHas((await run('failed', 'retry', '--all')).rows[0], { received: 5, loaded: 2, quarantined: 3 });
    deployment.configurePipeline({ columns: COLUMNS });
  });

  test('of records in quarantine that are looked at, exported, replayed and purged', async () => {
    const { rows } = await run('quarantine', 'list', '--all');
    assert.ok(rows.length >= MESSAGES.length - 1);
    const kinds = ['raw', 'masked'].map(
      (kind) => rows.find((row) => row['kind'] === kind) ?? assert.fail(kind),
    );
    await all(0, [
      ...kinds.map((row) => ['quarantine', 'show', String(row['id'])]),
      ['quarantine', 'list', '--by-code'],
      ['quarantine', 'export', '--all'],
      ['quarantine', 'export', '--all', '--to', join(deployment.dir, 'export.ndjson')],
    ]);
    // An address that is masked as any text is no bad one.
    const { masked_ip } = COLUMNS;
    deployment.configurePipeline({
      columns: { ...COLUMNS, masked_ip: { ...masked_ip, mask: { method: 'siv' } } },
    });
    await all(1, [['quarantine', 'replay', '--all', '--dry-run']]);
    const replayed = await run('quarantine', 'replay', '--all');
    assert.ok(Number(replayed.rows[0]?.['loaded']) >= 1, replayed.stderr);
    await all(0, [['quarantine', 'purge', '--all', '--open', '--replayed']]);
  });

  test('of dead letters that are sent back, and of messages that are left to be dead letters', async () => {
    // What was released before is among them.
    await deployment.sendMessages(MESSAGES);
    await wearOut();
    const redriven = await run('dlq', 'redrive');
    assert.ok(Number(redriven.rows[0]?.['redriven']) >= MESSAGES.length, JSON.stringify(redriven));
    // The message that the gate stops may be among those that came back.
    const columns = { ...COLUMNS, note: { from: 'note', mask: { method: 'drop' } } };
    deployment.configurePipeline({ on_reject: 'dlq', columns });
    const drained = await run('drain');
    assert.ok(Number(drained.rows[0]?.['loaded']) >= 1, drained.stderr);
    assert.ok(Number(drained.rows[0]?.['released']) >= 9, drained.stderr);
  });

  test('of a record that is tried in a process of its own', async () => {
    const [pipeline] = loadConfig({ file: deployment.configFile, env: deployment.environment }).pipelines;
    assert.ok(pipeline);
    const probe = processProbe(pipeline.policy)(
      batchOf([MESSAGES[0]?.body ?? ''], { attributes: MESSAGES[0]?.attributes ?? {} }),
      new AbortController().signal,
    );
    assert.equal(lookAtProcesses() > 0 && processes.some(([, text]) => text.includes('suspect')), true);
    assert.equal(await probe, false);
  });

  test('while all else is looked at and steered', async () => {
    const runs = (await run('runs', 'list')).rows;
    assert.ok(runs.length >= 6);
    const failed = runs.find((row) => row['state'] === 'failed') ?? assert.fail('a run has failed');
    await all(0, [
      ['status'],
      ['runs', 'show', String(failed['run_id'])],
      ['schedule', 'list'],
      ['schedule', 'pause', PIPELINE, '--reason', 'a test'],
      ['prune'],
      ['keys', 'check'],
    ]);
    await all(0, [['schedule', 'resume', PIPELINE]]);
    await lookAtPages();
    lookAtProcesses();
    admin.signal('SIGTERM');
    assert.equal((await admin.ended).code, 0);
  });

  /** The outputs of all commands, by stream. */
  const outputs = (): [string, string][] =>
    deployment.cli.processes.flatMap((each, i): [string, string][] => [
      [`stdout of process ${i}`, each.stdout],
      [`stderr of process ${i}`, each.stderr],
    ]);

  test('are in no file, log, table, page, argument or command, and the name of the pipeline is in each', async () => {
    const tables = await postgresContents(
      (sql) => deployment.query(sql),
      ['maskline.quarantine.sealed', ...KEPT_COLUMNS],
    );
    const places: { readonly [name: string]: readonly (readonly [string, string | Buffer])[] } = {
      outputs: outputs(),
      pages,
      processes,
      monitored: [['MONITOR', monitored.join('\n')]],
      redis: await redisContents(stack.redis.url, stack.redis.dir),
      tables,
      activity: [
        ['pg_stat_activity', JSON.stringify(await deployment.query('select query from pg_stat_activity'))],
      ],
    };
    const scan = new LeakScan(ALL);
    const control = new LeakScan({ pipeline: PIPELINE, suspect: 'suspect.js', none: 'pg_stat_activity' });
    for (const [name, contents] of Object.entries(places)) {
      assert.deepEqual(scan.scanAll(contents), [], name);
      assert.notDeepEqual(control.scanAll(contents), [], `the control is found: ${name}`);
    }
    // Postgres holds what is kept, and logs it when a row is refused.
    const secrets = new LeakScan(SECRETS);
    await deployment.query('checkpoint');
    for (const dir of [stack.postgres.server.dir, stack.redis.dir, deployment.dir]) {
      assert.deepEqual(await secrets.scanTree(dir), []);
      assert.notDeepEqual(await control.scanTree(dir), [], `the control is found: ${dir}`);
    }
  });

  test('and left no core dump, report, or temporary file behind', () => {
    const known = /^(?:maskline\.yaml|maskline\.keyring\.json|kek|export\.ndjson|tmp)$/;
    assert.deepEqual(
      readdirSync(deployment.dir).filter((name) => !known.test(name)),
      [],
    );
    assert.deepEqual(readdirSync(temporary), []);
  });

  test('are found where they are planted: in Redis, past and present, in what it was told, in Postgres, in a process', async () => {
    const scan = new LeakScan(SECRETS);
    await redis.call('SET', 'planted', Buffer.from(`.${SECRETS.device}`).toString('base64'));
    await redis.call('DEL', 'planted');
    await deployment.query('create table planted as select $1::text as value', [SECRETS.nested]);
    await deployment.query('drop table planted; checkpoint');
    writeFileSync(join(temporary, 'planted'), SECRETS.address);
    const found = async (dir: string): Promise<ReadonlySet<string>> =>
      new Set((await scan.scanTree(dir)).map(({ canary }) => canary));
    assert.deepEqual(await found(stack.redis.dir), new Set(['device']));
    assert.deepEqual(await found(stack.postgres.server.dir), new Set(['nested']));
    assert.deepEqual(await found(deployment.dir), new Set(['address']));
    assert.ok(scan.scan('-', monitored.join('\n')).length > 0);
    const planted = deployment.cli.spawn(['schedule', 'list', SECRETS.not_json], {
      env: { X: SECRETS.bad_text },
    });
    const seen = scan.scanAll(processesBelow(process.pid)).map(({ canary }) => canary);
    assert.deepEqual(new Set(seen), new Set(['not_json', 'bad_text']));
    await planted.ended;
    assert.match(readFileSync(deployment.configFile, 'utf8'), /leak_gate: true/);
  });
});
