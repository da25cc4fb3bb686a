import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { Releases } from '../../src/lifecycle.js';
import { createKekFile } from '../../src/masking/kek.js';
import { createKeyring } from '../../src/masking/keyring-file.js';
import { writeKeyring } from '../../src/masking/keyring.js';
import { assemble } from '../../src/roles/assembly.js';
import type { FailedEntry } from '../../src/roles/failed.js';
import { Retry } from '../../src/roles/retry.js';
import { startWorkers } from '../../src/roles/workers.js';
import { type Json, assertHas } from '../support/cli.js';
import { SMALL_COLUMNS, smallEvents } from '../support/events.js';
import { failBatch, failIn, insideOf } from '../support/failed.js';
import { withConnection } from '../support/postgres.js';
import { eventually } from '../support/queue.js';
import {
  type Deployment,
  type DeploymentOptions,
  PIPELINE,
  type Stack,
  assertAddsUp,
  startStack,
} from '../support/stack.js';

const TABLE = `public.${PIPELINE}`;
const DDL = `create table ${TABLE} (event_id varchar(32), device varchar(256))`;
/** A trigger that drops every row: what `row_count_differs` is about. */
const BREAK = `create function public.drop_row() returns trigger language plpgsql as 'begin return null; end';
  create trigger drop_rows before insert on ${TABLE} for each row execute function public.drop_row()`;
const MEND = `drop trigger drop_rows on ${TABLE}`;
const DAY_MS = 86_400_000;

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

const deploymentOf = (options: DeploymentOptions = {}): Promise<Deployment> =>
  stack.deployment({
    ddl: DDL,
    ...options,
    pipeline: { batch: { max_messages: 100, linger: '100ms' }, columns: SMALL_COLUMNS, ...options.pipeline },
  });

/** Event ids of `count` good events whose numbers begin at `from`. */
function events(from: number, count: number): { readonly bodies: readonly string[]; readonly ids: string[] } {
  const { bodies, goodIds } = smallEvents(from + count, from + count + 1);
  return { bodies: bodies.slice(from), ids: goodIds.slice(from) };
}

async function loadedIds(deployment: Deployment): Promise<readonly unknown[]> {
  const rows = await deployment.query(`select event_id from ${TABLE} order by event_id collate "C"`);
  return rows.map((row) => row['event_id']);
}

describe('a failed batch', { concurrency: 2 }, () => {
  for (const backend of ['Redis', 'Postgres'] as const) {
    test(`a batch that failed on ${backend} is found, understood, and loaded once after its cause is mended`, async () => {
      const deployment = await deploymentOf();
      if (backend === 'Postgres') {
        deployment.configure((config) => ({
          ...config,
          queue: { url: deployment.database, prefix: deployment.prefix },
        }));
        assert.equal((await deployment.cli.run(['migrate'])).code, 0);
      }
      await deployment.query(BREAK);
      const { bodies, ids } = events(0, 50);
      await deployment.send(bodies);
      const drained = await deployment.cli.run(['drain']);
      assert.equal(drained.code, 1, drained.stderr);
      assertHas(drained.rows[0], { state: 'failed', released: 50 });
      const runId = String(drained.rows[0]?.['run_id']);

      const listed = await deployment.cli.run(['failed', 'list']);
      assert.equal(listed.code, 0, listed.stderr);
      assert.equal(listed.stderr, '', 'a program reads no advice');
      assert.equal(listed.rows.length, 1);
      const [job = {}] = listed.rows;
      const jobId = String(job['job_id']);
      assert.deepEqual(Object.keys(job), [
        ...['job_id', 'pipeline', 'stage', 'code', 'records', 'attempts', 'failed_at', 'reason'],
      ]);
      assertHas(job, {
        pipeline: PIPELINE,
        stage: 'load',
        code: 'row_count_differs',
        records: 50,
        attempts: 1,
      });
      assert.match(String(job['reason']), /^row_count_differs: table public\.user_logins was sent 50 rows/);
      assert.equal(new Date(String(job['failed_at'])).toISOString(), job['failed_at']);

      const shown = await deployment.cli.run(['failed', 'show', jobId]);
      assert.equal(shown.code, 0, shown.stderr);
      const run = (await deployment.query('select to_json(finished_at) as at from maskline.runs'))[0];
      assertHas(shown.rows[0], {
        ...job,
        payload_version: 1,
        kid: 1,
        takeovers: 0,
        run_id: runId,
        fate: 'released',
      });
      assert.ok(Number(shown.rows[0]?.['payload_bytes']) > 0 && Number(shown.rows[0]?.['queued_bytes']) > 0);
      assert.match(String(shown.rows[0]?.['remedy']), /trigger or rule/);
      const finishedAt = new Date(String(run?.['at'])).toISOString();
      assert.ok(
        String(shown.rows[0]?.['fate_text']).includes(`SQS in run ${runId}, which ended at ${finishedAt}`),
      );

      const ofRun = await deployment.cli.run(['runs', 'show', runId.slice(0, 18)]);
      assert.equal(ofRun.code, 0, ofRun.stderr);
      assert.deepEqual(ofRun.rows[0]?.['failed_jobs'], [job]);

      // Retried before anything was mended it fails again, and is there again under another id.
      const inVain = await deployment.cli.run(['failed', 'retry', jobId]);
      assert.equal(inVain.code, 1, inVain.stderr);
      assertHas(inVain.rows[0], { trigger: 'retry', state: 'failed', received: 50, released: 50 });
      const again = (await deployment.cli.run(['failed', 'list'])).rows;
      assert.equal(again.length, 1);
      assertHas(again[0], { code: 'row_count_differs', records: 50 });
      assert.notEqual(again[0]?.['job_id'], jobId);

      await deployment.query(MEND);
      const retried = await deployment.cli.run(['--yes', 'failed', 'retry', '--all']);
      assert.equal(retried.code, 0, retried.stderr);
      assertHas(retried.rows[0], {
        trigger: 'retry',
        state: 'succeeded',
        loaded: 50,
        duplicates: 0,
        gone: 0,
      });
      assert.deepEqual(retried.rows[0]?.['refused'], []);
      assert.deepEqual(await loadedIds(deployment), ids);
      assert.deepEqual((await deployment.cli.run(['failed', 'list'])).rows, []);
      assertAddsUp(await deployment.runs());

      // What SQS hands out again later was loaded by then.
      await deployment.countUntil(
        `(select 1 from maskline.loads where state = 'committed') as l`,
        (n) => n === 1,
      );
      const redelivered = await stack.sqs.redeliver(deployment.queue, 'all');
      assert.equal(redelivered, 50);
      const last = await deployment.cli.run(['drain']);
      assert.equal(last.code, 0, last.stderr);
      // On a slow machine the released messages have come back by themselves besides.
      const { loaded, duplicates, received } = last.rows[0] ?? {};
      assert.deepEqual([loaded, duplicates], [0, received]);
      assert.ok(Number(received) >= 50);
      assert.deepEqual(await loadedIds(deployment), ids);
    });
  }
});

describe('failed', { concurrency: 3 }, () => {
  test('retries a batch at the stage where it failed; another keyring is named, and leaves it there', async () => {
    const deployment = await deploymentOf();
    const { bodies, ids } = events(0, 3);
    const jobId = await failBatch(deployment, { bodies, stage: 'transform', code: 'key_unavailable' });
    assertHas((await deployment.cli.run(['failed', 'list'])).rows[0], { job_id: jobId, stage: 'transform' });

    const other = `${deployment.dir}/other.keyring.json`;
    const otherKek = `${deployment.dir}/other-kek`;
    writeKeyring(other, createKeyring(createKekFile(otherKek), Date.now()));
    const right = { file: deployment.keyringFile, kek: { type: 'file', path: deployment.kekFile } };
    deployment.configure((config) => ({
      ...config,
      keyring: { file: other, kek: { type: 'file', path: otherKek } },
    }));
    const refused = await deployment.cli.run(['failed', 'retry', jobId]);
    assert.equal(refused.code, 1, refused.stderr);
    assertHas(refused.rows[0], { state: 'failed', received: 0 });
    assert.match(
      JSON.stringify(refused.rows[0]?.['refused']),
      new RegExp(`${jobId}.*key_unavailable: .*another keyring`),
    );
    rmSync(other);
    const without = await deployment.cli.run(['failed', 'retry', jobId]);
    assert.equal(without.code, 2);
    assert.match(without.stderr, /other\.keyring\.json/);

    deployment.configure((config) => ({ ...config, keyring: right }));
    const retried = await deployment.cli.run(['failed', 'retry', jobId]);
    assert.equal(retried.code, 0, retried.stderr);
    assertHas(retried.rows[0], { loaded: 3 });
    assert.deepEqual(await loadedIds(deployment), ids);
  });

  test('two retries of everything at once load every record once, and both end well', async () => {
    const deployment = await deploymentOf();
    const all: string[] = [];
    for (let batch = 0; batch < 6; batch += 1) {
      const { bodies, ids } = events(batch * 20, 20);
      all.push(...ids);
      await failBatch(deployment, { bodies, stage: batch % 2 === 0 ? 'transform' : 'load' });
    }
    const args = ['--yes', 'failed', 'retry', '--all'];
    const [one, two] = await Promise.all([deployment.cli.run(args), deployment.cli.run(args)]);
    for (const { code, stderr, log } of [one, two]) {
      assert.equal(code, 0, stderr);
      assert.deepEqual(
        log.filter((line) => line['level'] !== 'info' && line['event'] !== 'queue_warning'),
        [],
        'nothing that frightens',
      );
    }
    const reports = [...one.rows, ...two.rows];
    assertAddsUp(reports);
    assert.equal(
      reports.reduce((sum, report) => sum + Number(report['loaded']), 0),
      120,
    );
    assert.deepEqual(await loadedIds(deployment), all);
    assert.deepEqual((await deployment.cli.run(['failed', 'list'])).rows, []);
  });

  test('a retry that is killed loses nothing: the job is there until its records are committed', async () => {
    const deployment = await deploymentOf();
    const { bodies, ids } = events(0, 10);
    const jobId = await failBatch(deployment, { bodies });
    await withConnection(deployment.database, async (client) => {
      await client.query(`begin; lock table ${TABLE} in exclusive mode`);
      const killed = deployment.cli.spawn(['failed', 'retry', jobId]);
      await deployment.countUntil(
        `pg_locks where not granted and relation = '${TABLE}'::regclass`,
        (count) => count > 0,
      );
      await killed.kill();
      assertHas((await deployment.cli.run(['failed', 'list'])).rows[0], { job_id: jobId });
    });
    const retried = await deployment.cli.run(['failed', 'retry', jobId]);
    assert.equal(retried.code, 0, retried.stderr);
    assert.deepEqual(await loadedIds(deployment), ids);
    assert.deepEqual((await deployment.cli.run(['failed', 'list'])).rows, []);
  });

  test('messages that the ledger may have forgotten are not loaded once more', async () => {
    const deployment = await deploymentOf();
    const { bodies, ids } = events(0, 4);
    const old = await failBatch(deployment, { bodies: bodies.slice(0, 2), sentAt: Date.now() - 16 * DAY_MS });
    const oldRaw = await failBatch(deployment, {
      bodies: bodies.slice(0, 2),
      stage: 'transform',
      sentAt: Date.now() - 16 * DAY_MS,
    });
    const young = await failBatch(deployment, { bodies: bodies.slice(2), sentAt: Date.now() - 13 * DAY_MS });
    const { code, rows, stderr } = await deployment.cli.run(['failed', 'retry', old, oldRaw, young]);
    assert.equal(code, 1, stderr);
    assertHas(rows[0], { state: 'failed', received: 2, loaded: 2 });
    const refused = rows[0]?.['refused'] as readonly { job_id: string; reason: string }[];
    assert.deepEqual(new Set(refused.map((one) => one.job_id)), new Set([old, oldRaw]));
    for (const { reason } of refused) assert.match(reason, /retention\.ledger/);
    assert.deepEqual(await loadedIds(deployment), ids.slice(2));
    const left = (await deployment.cli.run(['failed', 'list'])).rows;
    assert.deepEqual(new Set(left.map((row) => row['job_id'])), new Set([old, oldRaw]));
  });

  test('a list keeps to code, time, pipeline and limit, newest first', async () => {
    const deployment = await deploymentOf();
    const first = await failBatch(deployment, { bodies: ['{}'], code: 'table_unfit' });
    const second = await failBatch(deployment, { bodies: ['{}'], stage: 'transform' });
    const third = await failBatch(deployment, { bodies: ['{}'], code: 'table_unfit' });
    const listed = async (...args: string[]): Promise<readonly unknown[]> => {
      const { code, rows, stderr } = await deployment.cli.run(['failed', 'list', ...args]);
      assert.equal(code, 0, stderr);
      return rows.map((row) => row['job_id']);
    };
    assert.deepEqual(await listed(), [third, second, first]);
    assert.deepEqual(await listed('--limit', '2'), [third, second]);
    assert.deepEqual(await listed('--code', 'table_unfit'), [third, first]);
    assert.deepEqual(await listed('--code', 'table_unfit', '--code', 'row_count_differs', '--since', '1h'), [
      ...[third, second, first],
    ]);
    assert.deepEqual(await listed('--since', new Date(Date.now() + DAY_MS).toISOString()), []);
    assert.deepEqual(await listed('-p', PIPELINE), [third, second, first]);
    assert.equal((await deployment.cli.run(['failed', 'list', '-p', 'none'])).code, 2);
  });

  test('a change in bulk is tried with --dry-run, and off a terminal needs --yes', async () => {
    const deployment = await deploymentOf();
    const jobId = await failBatch(deployment, { bodies: events(0, 1).bodies });
    for (const args of [
      ['retry', '--all'],
      ['discard', '--all'],
      ['discard', jobId],
      ['retry'],
      ['discard'],
      ['retry', jobId, '--all'],
    ]) {
      const { code, stderr } = await deployment.cli.run(['failed', ...args]);
      assert.equal(code, 2, `${args.join(' ')}: ${stderr}`);
    }
    for (const verb of ['retry', 'discard']) {
      const dry = await deployment.cli.run(['failed', verb, '--all', '--dry-run']);
      assert.equal(dry.code, 0, dry.stderr);
      assertHas(dry.rows[0], { job_id: jobId });
      assert.match(dry.stderr, /1 failed job would be \w+; nothing was changed/);
    }
    assert.equal((await deployment.cli.run(['failed', 'list'])).rows.length, 1);
    assert.equal(await deployment.count(TABLE), 0);

    const discarded = await deployment.cli.run(['--yes', 'failed', 'discard', jobId]);
    assert.equal(discarded.code, 0, discarded.stderr);
    assertHas(discarded.rows[0], { job_id: jobId, discarded: true });
    for (const verb of ['retry', 'discard']) {
      const empty = await deployment.cli.run(['failed', verb, '--all']);
      assert.deepEqual([empty.code, empty.rows], [0, []], 'nothing matches, and that is no failure');
    }
  });

  test('failed jobs are told by cause; a dry run of one says what would load, be known or be rejected, and changes nothing', async () => {
    const deployment = await deploymentOf();
    const { bodies, ids } = events(0, 6);
    // GIVEN three jobs of one cause, of which one holds what was loaded since and one a body that is rejected, and one
    // of another that is too old
    const sentAt = Date.now();
    const same = { bodies: bodies.slice(0, 2), stage: 'transform', ids: ['m-1', 'm-2'], sentAt } as const;
    const first = await failBatch(deployment, same);
    const second = await failBatch(deployment, { bodies: [...bodies.slice(2, 4), '{'], stage: 'transform' });
    const other = await failBatch(deployment, {
      ...{ bodies: bodies.slice(4), code: 'table_unfit' },
      sentAt: Date.now() - 16 * DAY_MS,
    });
    const causes = (await deployment.cli.run(['failed', 'list', '--by-cause'])).rows;
    assert.deepEqual(
      causes.map(({ stage, code, jobs, records, sample_id }) => [stage, code, jobs, records, sample_id]),
      [
        ['transform', 'row_count_differs', 2, 5, second],
        ['load', 'table_unfit', 1, 2, other],
      ],
    );
    const [cause = {}] = causes;
    assert.equal(cause['reason'], 'row_count_differs: made to fail by the test');
    const command = String(cause['next']).split(' ').slice(1);
    // WHEN it is tried
    const dry = await deployment.cli.run(command);
    assert.equal(dry.code, 0, dry.stderr);
    const of = (id: string): Json | undefined => dry.rows.find((row) => row['job_id'] === id);
    assertHas(of(first), { cause: cause['cause'], would_load: 2, would_be_duplicates: 0, would_stay: null });
    assertHas(of(second), { would_load: 2, would_be_rejected: 1, codes: { not_json: 1 }, would_stay: null });
    assert.match(dry.stderr, /2 failed jobs would be retried; nothing was changed/);
    const old = await deployment.cli.run(['failed', 'retry', '--dry-run', other]);
    assert.equal(old.code, 1);
    assertHas(old.rows[0], { would_load: 0, would_stay: 'expired' });
    assert.equal((await deployment.cli.run(['failed', 'list'])).rows.length, 3);
    assert.equal(await deployment.count(TABLE), 0);
    assert.equal(await deployment.count('maskline.ledger'), 0);
    assert.equal(await deployment.count('maskline.runs'), 0);
    // THEN what was loaded since, under another job, is known; an unfit table is told before anything is tried
    assert.equal((await deployment.cli.run(['failed', 'retry', first])).code, 0);
    const again = await failBatch(deployment, same);
    const known = await deployment.cli.run(['failed', 'retry', '--dry-run', again]);
    assertHas(known.rows[0], { would_load: 0, would_be_duplicates: 2 });
    await deployment.cli.run(['--yes', 'failed', 'discard', again]);
    await deployment.query(`alter table ${TABLE} drop column device`);
    const unfit = await deployment.cli.run(command);
    assert.equal(unfit.code, 1);
    assertHas(unfit.rows[0], { would_load: 0, would_stay: 'table_unfit' });
    await deployment.query(`alter table ${TABLE} add column device varchar(256)`);
    const done = await deployment.cli.run(['--yes', ...command.slice(0, -1)]);
    assert.equal(done.code, 0, done.stderr);
    assertHas(done.rows[0], { loaded: 2, quarantined: 1 });
    assert.deepEqual(await loadedIds(deployment), ids.slice(0, 4));
    assert.equal((await deployment.cli.run(command)).code, 1, 'nothing has that cause any more');
  });

  test('discarding the job of a batch that its ingester holds gives the messages back to SQS', async () => {
    const deployment = await deploymentOf();
    await deployment.send(events(0, 5).bodies);
    await deployment.query(BREAK);
    // Its workers are elsewhere, so that the drain itself learns only from the queue what became of its batch.
    const drain = deployment.cli.spawn(['drain', '--ingest-only']);
    const worker = deployment.cli.spawn(['run', 'transform']);
    const loader = deployment.cli.spawn(['run', 'load']);
    await loader.waitFor('job_failed');
    const discarded = await deployment.cli.run(['--yes', 'failed', 'discard', '--all']);
    assert.equal(discarded.code, 0, discarded.stderr);
    const { code, rows, stderr } = await drain.ended;
    assert.equal(code, 1, stderr);
    assertHas(rows[0], { received: 5, released: 5 });
    worker.signal('SIGTERM');
    await worker.ended;
    await deployment.query(MEND);
    await stack.sqs.redeliver(deployment.queue, 'all');
    assertHas((await deployment.cli.run(['drain'])).rows[0], { loaded: 5 });
  });

  test('an id that is not there ends with 1, and nothing is changed', async () => {
    const deployment = await deploymentOf();
    const jobId = await failBatch(deployment, { bodies: events(0, 1).bodies });
    const absent = '01890a5d-ac96-774b-bcce-b302099a8057';
    for (const args of [
      ['show', absent],
      ['show', 'nonsense'],
      ['retry', jobId, absent],
      ['--yes', 'discard', jobId, absent],
    ]) {
      const { code, stderr } = await deployment.cli.run(['failed', ...args]);
      assert.equal(code, 1, `${args.join(' ')}: ${stderr}`);
      assert.match(stderr, /no failed job/);
    }
    assertHas((await deployment.cli.run(['failed', 'list'])).rows[0], { job_id: jobId });
  });

  test('queues in memory keep nothing that another process could look at', async () => {
    const deployment = await deploymentOf({ file: { queue: { url: 'memory://' } } });
    for (const args of [['list'], ['show', 'x'], ['retry', 'x'], ['--yes', 'discard', '--all']]) {
      const { code, stderr } = await deployment.cli.run(['failed', ...args]);
      assert.equal(code, 2, stderr);
      assert.match(stderr, /memory:\/\//);
    }
  });
});

describe('a retry', () => {
  /** The pipeline of a deployment in this process, with queues in memory. */
  async function assembled(releases: Releases) {
    const deployment = await deploymentOf({ file: { queue: { url: 'memory://' } } });
    const { inside } = insideOf(deployment);
    const assembly = await assemble(inside, {
      pipelines: inside.config.pipelines,
      role: 'retry',
      receives: false,
      releases,
      signal: new AbortController().signal,
    });
    const [pipeline] = assembly.pipelines;
    assert.ok(pipeline);
    const { loadQueue } = pipeline.queues;
    return {
      deployment,
      loadQueue,
      failMany: async (batches: number) => {
        for (let batch = 0; batch < batches; batch += 1)
          await failIn(deployment, pipeline.queues, events(batch, 1));
      },
      failed: () => loadQueue.failed({ codes: [], since: null, limit: null }),
      retry: async () => {
        const jobs = await loadQueue.failed({ codes: [], since: null, limit: null });
        const entries = jobs.map((job): FailedEntry => ({ ...job, pipeline: PIPELINE, stage: 'load' }));
        return new Retry(inside, assembly, pipeline, entries);
      },
      work: (onError: (error: unknown) => void = () => undefined) =>
        startWorkers(inside, pipeline, assembly.keyring, { role: 'all', jobs: null, onError }),
    };
  }

  let releases: Releases;
  beforeEach(() => {
    releases = new Releases();
  });
  afterEach(() => releases.release());

  const never = new AbortController().signal;

  test('that must end at once gives up what is under way, keeps its job, and writes nothing afterwards', async () => {
    const { deployment, loadQueue, failMany, failed, retry, work } = await assembled(releases);
    await failMany(1);
    const before = await failed();
    const [soft, hard] = [new AbortController(), new AbortController()];
    const running = (await retry()).run({ soft: soft.signal, hard: hard.signal });
    await eventually(
      () => loadQueue.backlog(),
      ({ waiting }) => waiting === 1,
    );
    soft.abort();
    hard.abort();
    const { report } = await running;
    assertHas({ ...report }, { state: 'canceled', received: 1, loaded: 0, released: 1 });
    assert.deepEqual(await failed(), before);

    const workers = work();
    await eventually(
      () => loadQueue.backlog(),
      ({ waiting, active }) => waiting + active === 0,
    );
    assert.equal(await deployment.count(TABLE), 0, 'its batch was given up');
    const again = await (await retry()).run({ soft: never, hard: never });
    assertHas({ ...again.report }, { state: 'succeeded', received: 1, loaded: 1 });
    assert.deepEqual(await failed(), []);
    await Promise.all(workers.map((worker) => worker.stop()));
  });

  test('that is stopped finishes what is under way, which is never everything, and leaves the rest', async () => {
    const { deployment, loadQueue, failMany, failed, retry, work } = await assembled(releases);
    await failMany(40);
    const soft = new AbortController();
    const running = (await retry()).run({ soft: soft.signal, hard: never });
    const { waiting } = await eventually(
      () => loadQueue.backlog(),
      (backlog) => backlog.waiting >= 32,
    );
    assert.equal(waiting, 32, 'each lies in the queue twice, so only so many at once');
    soft.abort();
    const workers = work();
    const { report } = await running;
    assertHas({ ...report }, { state: 'canceled', received: 32, loaded: 32, released: 0 });
    assert.equal((await failed()).length, 8);
    assert.equal(await deployment.count(TABLE), 32);
    await Promise.all(workers.map((worker) => worker.stop()));
  });

  test('whose cause is not mended ends early: the jobs to come stay as they are', async () => {
    const { deployment, failMany, failed, retry, work } = await assembled(releases);
    await failMany(40);
    await deployment.query(BREAK);
    const before = new Set((await failed()).map((job) => job.batchId));
    const one = await retry();
    const workers = work((error) => one.onError(error));
    const { report } = await one.run({ soft: never, hard: never });
    assertHas({ ...report }, { state: 'failed', loaded: 0, released: report.received });
    assert.ok(report.received <= 33, `${report.received} were tried`);
    const after = await failed();
    assert.equal(after.length, 40, 'each is there once, under its old id or a new one');
    assert.equal(after.filter((job) => before.has(job.batchId)).length, 40 - report.received);
    await Promise.all(workers.map((worker) => worker.stop()));
  });
});

describe('runs', () => {
  test('are listed by pipeline, state and time', async () => {
    const deployment = await deploymentOf();
    await deployment.send(['{"event_id":"a","device":"d"}']);
    assert.equal((await deployment.cli.run(['drain'])).code, 0);
    await deployment.query(BREAK);
    await deployment.send(['{"event_id":"b","device":"d"}']);
    assert.equal((await deployment.cli.run(['drain'])).code, 1);
    const states = async (...args: string[]): Promise<readonly unknown[]> => {
      const { code, rows, stderr } = await deployment.cli.run(['runs', 'list', ...args]);
      assert.equal(code, 0, stderr);
      return rows.map((row) => row['state']);
    };
    assert.deepEqual(await states(), ['failed', 'succeeded']);
    assert.deepEqual(await states('--state', 'failed'), ['failed']);
    assert.deepEqual(await states('--state', 'failed', '--state', 'succeeded', '--since', '1h'), [
      ...['failed', 'succeeded'],
    ]);
    assert.deepEqual(await states('--since', new Date(Date.now() + DAY_MS).toISOString()), []);
    assert.equal((await deployment.cli.run(['runs', 'list', '--state', 'broken'])).code, 2);
    assert.equal((await deployment.cli.run(['runs', 'list', '--since', 'soon'])).code, 2);
    const ambiguous = await deployment.cli.run(['runs', 'show', '0']);
    assert.equal(ambiguous.code, 1);
    assert.match(ambiguous.stderr, /several runs/);
  });
});
