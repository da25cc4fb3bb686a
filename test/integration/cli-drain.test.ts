import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { parse } from 'yaml';
import { type CliProcess, assertHas } from '../support/cli.js';
import { SMALL_COLUMNS, smallEvents } from '../support/events.js';
import { withConnection } from '../support/postgres.js';
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
const NOTHING = { visible: 0, inFlight: 0, delayed: 0 };

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

const deploymentOf = (pipeline: DeploymentOptions['pipeline'] = {}): Promise<Deployment> =>
  stack.deployment({
    ddl: DDL,
    pipeline: { batch: { max_messages: 100, linger: '100ms' }, columns: SMALL_COLUMNS, ...pipeline },
  });

/** Runs `work` while no loader can write a row of the table. */
async function whileLocked<T>(deployment: Deployment, work: () => Promise<T>): Promise<T> {
  return withConnection(deployment.database, async (client) => {
    await client.query(`begin; lock table ${TABLE} in exclusive mode`);
    return work();
  });
}

/** Resolves when a loader waits for the lock. */
async function loaderWaits(deployment: Deployment): Promise<void> {
  await deployment.countUntil(
    `pg_locks where not granted and relation = '${TABLE}'::regclass`,
    (count) => count > 0,
  );
}

const ROOT = new URL('../../../', import.meta.url);
const fileOf = (name: string): string => readFileSync(new URL(name, ROOT), 'utf8');

/** The command lines by which the recipes below deploy/ run a drain. */
const commandLines = (): Readonly<Record<'systemd' | 'airflow' | 'kubernetes', readonly string[]>> => {
  const service = /^ExecStart=\/usr\/bin\/env maskline (.*)$/m.exec(
    fileOf('deploy/systemd/maskline-drain.service'),
  );
  const dag = /bash_command="exec maskline (.*)"/.exec(fileOf('deploy/airflow/maskline_drain.py'));
  const job = parse(fileOf('deploy/kubernetes/components/cron/drain.yaml')) as {
    spec: { jobTemplate: { spec: { template: { spec: { containers: { args: string[] }[] } } } } };
  };
  return {
    systemd: service?.[1]?.split(' ') ?? [],
    airflow: dag?.[1]?.split(' ') ?? [],
    kubernetes: job.spec.jobTemplate.spec.template.spec.containers[0]?.args ?? [],
  };
};

describe('drain by the command lines of other schedulers', { concurrency: 2 }, () => {
  const expected = ['drain', '--timeout', '10m'];

  test('ends with 0 when all is settled, and 2 when nothing could be received', async () => {
    const { systemd, airflow } = commandLines();
    assert.deepEqual([systemd, airflow], [expected, expected]);
    const deployment = await deploymentOf();
    await deployment.send(smallEvents(20, 0).bodies);
    const drained = await deployment.cli.run(systemd);
    assert.equal(drained.code, 0, drained.stderr);
    assertHas(drained.rows[0], { state: 'succeeded', loaded: 20, released: 0 });
    await deployment.query(`drop table ${TABLE}`);
    const unfit = await deployment.cli.run(airflow);
    assert.deepEqual([unfit.code, unfit.rows.length], [2, 0]);
  });

  test('ends with 1, its report printed and all given back, at the SIGTERM that ends a pod', async () => {
    const { kubernetes } = commandLines();
    assert.deepEqual(kubernetes, expected);
    const deployment = await deploymentOf();
    await deployment.send(smallEvents(300, 0).bodies);
    // In the one process that the manifest has; the queue in memory.
    const drain = deployment.cli.spawn(kubernetes, { env: { REDIS_URL: 'memory://' } });
    await drain.waitFor('batch_loaded');
    drain.signal('SIGTERM');
    const { code, rows, stderr } = await drain.ended;
    assert.equal(code, 1, stderr);
    const loaded = Number(rows[0]?.['loaded']);
    assertHas(rows[0], { state: 'canceled', received: loaded, released: 0 });
    assert.deepEqual(await deployment.depth(), { ...NOTHING, visible: 300 - loaded });
  });
});

describe('drain', { concurrency: 3 }, () => {
  test('of an empty queue ends with 0 and a report of nothing', async () => {
    const deployment = await deploymentOf();
    const { code, rows, stderr } = await deployment.cli.run(['drain']);
    assert.equal(code, 0, stderr);
    assert.equal(rows.length, 1);
    assertHas(rows[0], { state: 'succeeded', received: 0, left: { visible: 0, in_flight: 0, delayed: 0 } });
  });

  test('prints one JSON object a line for each pipeline, in the order of the file, or only for those named', async () => {
    const deployment = await deploymentOf();
    await stack.sqs.createQueue('drain-second');
    await stack.sqs.send('drain-second', [{ body: '{"event_id":"second","device":"d"}' }]);
    await deployment.send(['{"event_id":"first","device":"d"}']);
    deployment.configure((config) => ({
      ...config,
      pipelines: {
        zebra: { ...config.pipelines[PIPELINE], source: { sqs: { queue: 'drain-second' } } },
        ...config.pipelines,
      },
    }));
    const named = await deployment.cli.run(['--json', 'drain', PIPELINE]);
    assert.equal(named.code, 0, named.stderr);
    assert.equal(named.rows.length, 1);
    const [row = {}] = named.rows;
    assertHas(row, { pipeline: PIPELINE, received: 1, loaded: 1 });
    assert.deepEqual(Object.keys(row), [
      ...['run_id', 'pipeline', 'trigger', 'state', 'started_at', 'finished_at'],
      ...['received', 'loaded', 'duplicates', 'quarantined', 'released', 'left'],
    ]);
    for (const name of ['started_at', 'finished_at']) {
      assert.equal(new Date(String(row[name])).toISOString(), row[name], `${name} is ISO 8601, UTC`);
    }
    const all = await deployment.cli.run(['drain']);
    assert.deepEqual(
      all.rows.map(({ pipeline, received }) => [pipeline, received]),
      [
        ['zebra', 1],
        [PIPELINE, 0],
      ],
    );
  });

  test('logs one JSON line a batch on stderr, and nothing but data on stdout', async () => {
    const deployment = await deploymentOf();
    await deployment.send(smallEvents(250, 50).bodies);
    const { rows, log, stderr } = await deployment.cli.run(['drain']);
    assert.equal(log.length, stderr.trimEnd().split('\n').length, 'every line of the log is JSON');
    const batches = log.filter((line) => line['event'] === 'batch_loaded');
    assert.ok(batches.length >= 3, 'of at most 100 messages each');
    assertAddsUp(batches);
    const sum = (name: string): number => batches.reduce((n, batch) => n + Number(batch[name]), 0);
    assertHas(rows[0], { received: sum('received'), loaded: sum('loaded'), quarantined: sum('quarantined') });
    assert.deepEqual([sum('received'), sum('quarantined')], [250, 5]);
    assert.ok(batches.every((batch) => batch['run_id'] === rows[0]?.['run_id']));
  });

  test('stops receiving after --max records and says what it left', async () => {
    const deployment = await deploymentOf();
    await deployment.send(smallEvents(3_000, 3_001).bodies);
    const { code, rows } = await deployment.cli.run(['drain', '--max', '200']);
    assert.equal(code, 0);
    const received = Number(rows[0]?.['received']);
    assert.ok(received >= 200 && received < 2_000, `received ${received}`);
    assertHas(rows[0], { state: 'succeeded', loaded: received, released: 0 });
    const left = rows[0]?.['left'] as { visible: number; in_flight: number };
    assert.equal(left.visible + left.in_flight, 3_000 - received);
    // What was received beyond that was given back at once.
    const { code: next, rows: rest } = await deployment.cli.run(['drain']);
    assert.equal(next, 0);
    assertHas(rest[0], { received: 3_000 - received, loaded: 3_000 - received, duplicates: 0 });
  });

  test('with --ingest-only leaves masking and loading to processes of their own', async () => {
    const deployment = await deploymentOf();
    const { bodies, goodIds } = smallEvents(1_000, 100);
    await deployment.send(bodies);
    const workers = ['transform', 'load'].map((role) => deployment.cli.spawn(['run', role]));
    const { code, rows, log, stderr } = await deployment.cli.run(['drain', '--ingest-only']);
    assert.equal(code, 0, stderr);
    assertHas(rows[0], { received: 1_000, loaded: goodIds.length, quarantined: 10, released: 0 });
    assert.deepEqual(
      log.filter((line) => line['event'] === 'batch_loaded'),
      [],
      'it loaded nothing itself',
    );
    for (const worker of workers) worker.signal('SIGTERM');
    const [transform, load] = await Promise.all(workers.map((worker) => worker.ended));
    assert.deepEqual([transform?.code, load?.code], [0, 0]);
    assert.ok(load?.log.some((line) => line['event'] === 'batch_loaded'));
    assert.ok(!transform?.log.some((line) => line['event'] === 'batch_loaded'));
    assert.equal(await deployment.count(TABLE), goodIds.length);
  });

  test('with --ingest-only says how many batches it waits for, and who is not there to take them', async () => {
    const deployment = await deploymentOf();
    await deployment.send(smallEvents(150, 151).bodies);
    const drain = deployment.cli.spawn(['drain', '--ingest-only']);
    const alone = await drain.waitFor('waiting_for_workers');
    assertHas(alone, {
      level: 'warn',
      pipeline: PIPELINE,
      waiting: { transform: alone['batches'], load: 0 },
    });
    assert.ok(Number(alone['batches']) >= 2, 'of at most 100 messages each');
    assert.match(String(alone['msg']), /no worker has taken any: start `maskline run transform`/);
    const worker = deployment.cli.spawn(['run', 'all']);
    const { code, rows, stderr } = await drain.ended;
    assert.equal(code, 0, stderr);
    assertHas(rows[0], { run_id: alone['run_id'], received: 150, loaded: 150 });
    worker.signal('SIGTERM');
    await worker.ended;
  });

  test('of a continuous pipeline finds the end of its queue within seconds, though its receives wait for 20', async () => {
    const deployment = await deploymentOf({ schedule: 'continuous' });
    const { code, stderr } = await deployment.cli.run(['drain'], { limitMs: 15_000 });
    assert.equal(code, 0, stderr);
  });

  test('stops at --timeout, gives back what it holds, and ends with 1', async () => {
    const deployment = await deploymentOf();
    await deployment.send(smallEvents(50, 51).bodies);
    // Nobody works on its batches, so only the hard stop ends its waiting.
    const { code, rows, stderr } = await deployment.cli.run(['drain', '--ingest-only', '--timeout', '2s']);
    assert.equal(code, 1, stderr);
    assertHas(rows[0], { received: 50, loaded: 0, released: 50 });
    assert.notEqual(rows[0]?.['state'], 'succeeded');
    assert.deepEqual(await deployment.depth(), { ...NOTHING, visible: 50 });
  });
});

describe('a drain that is interrupted', { concurrency: 2 }, () => {
  test('finishes what it holds, prints its report, and ends with 1; the next one brings the rest', async () => {
    const deployment = await deploymentOf();
    const { bodies, goodIds } = smallEvents(10_000, 200);
    await deployment.send(bodies);
    const drain = deployment.cli.spawn(['drain']);
    await drain.waitFor('batch_loaded');
    drain.signal('SIGINT');
    const { code, rows, stderr } = await drain.ended;
    assert.equal(code, 1, stderr);
    assert.equal(rows.length, 1, stderr);
    assertHas(rows[0], { state: 'canceled', released: 0 });
    assertAddsUp(rows);
    const received = Number(rows[0]?.['received']);
    assert.ok(received > 0 && received < bodies.length, `interrupted in the middle: ${received}`);
    assertAddsUp(await deployment.runs());
    const rest = await deployment.cli.run(['drain']);
    assert.equal(rest.code, 0, rest.stderr);
    assertHas(rest.rows[0], { received: bodies.length - received, duplicates: 0 });
    const ids = await deployment.query(`select event_id from ${TABLE} order by event_id collate "C"`);
    assert.deepEqual(
      ids.map((row) => row['event_id']),
      goodIds,
    );
  });

  for (const [signal, expected] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    test(`ends at once with ${expected} at a second ${signal}, and loses nothing`, async () => {
      const deployment = await deploymentOf({ source: { sqs: { visibility_timeout: '5s' } } });
      await deployment.send(smallEvents(100, 101).bodies);
      const drain: CliProcess = deployment.cli.spawn(['drain']);
      await whileLocked(deployment, async () => {
        await loaderWaits(deployment);
        drain.signal(signal);
        await drain.waitFor('stopping');
        drain.signal(signal);
        const { code, stdout } = await drain.ended;
        assert.equal(code, expected);
        assert.equal(stdout, '');
      });
      // The loader's session may still commit, now that the lock is gone, or not: either way all is there once.
      await deployment.countUntil(
        `pg_stat_activity where application_name = 'maskline-drain' and datname = current_database()`,
        (n) => n === 0,
      );
      deployment.configurePipeline({ schedule: '* * * * * *' });
      const again = deployment.cli.spawn(['run', 'all']);
      await deployment.countUntil(TABLE, (count) => count >= 100);
      again.signal('SIGTERM');
      assert.equal((await again.ended).code, 0);
      assert.equal(await deployment.count(TABLE), 100);
    });
  }
});

describe('the breaker', () => {
  test('stops a run of too many bad messages, refuses the next, and receives nothing until it is closed', async () => {
    const deployment = await deploymentOf();
    const { bodies } = smallEvents(500, 1);
    await deployment.send(bodies);
    const tripped = await deployment.cli.run(['drain']);
    assert.equal(tripped.code, 1, tripped.stderr);
    assertHas(tripped.rows[0], { state: 'breaker_open', loaded: 0, released: 0 });
    assertAddsUp(tripped.rows);

    // Whatever the first run left, these are new.
    const rest = await deployment.depth();
    const ids = await deployment.send(['{"event_id":"good","device":"d"}']);
    assert.equal(ids.length, 1);
    const refused = await deployment.cli.run(['drain']);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /breaker has been open since .*maskline schedule resume user_logins/);
    assert.equal(refused.stdout, '');
    assert.deepEqual(await deployment.depth(), { ...rest, visible: rest.visible + 1 });

    const resumed = await deployment.cli.run(['schedule', 'resume', PIPELINE]);
    assert.equal(resumed.code, 0, resumed.stderr);
    deployment.configurePipeline({ limits: { breaker: { max_rejected_ratio: 1 } } });
    const { code, rows, stderr } = await deployment.cli.run(['drain']);
    assert.equal(code, 0, stderr);
    assertHas(rows[0], { state: 'succeeded', loaded: 1 });
    assert.equal(await deployment.count('maskline.quarantine'), bodies.length);
    assert.deepEqual(await deployment.depth(), NOTHING);
  });

  test('leaves alone a run with fewer messages than min_messages, and one at the limit', async () => {
    const deployment = await deploymentOf();
    await deployment.send(smallEvents(99, 1).bodies);
    assert.equal((await deployment.cli.run(['drain'])).code, 0, '99 messages, all bad');
    await deployment.send(smallEvents(200, 2).bodies);
    const { code, rows } = await deployment.cli.run(['drain']);
    assert.equal(code, 0, 'half of 200: not more than the limit');
    assertHas(rows[0], { state: 'succeeded', loaded: 100, quarantined: 100 });
  });
});

describe('runs', () => {
  test('are listed newest first, and shown with their batches', async () => {
    const deployment = await deploymentOf();
    const reports = [];
    for (const count of [250, 30, 0]) {
      await deployment.send(smallEvents(count, 10).bodies);
      const { rows } = await deployment.cli.run(['drain']);
      reports.unshift(rows[0] ?? {});
    }
    const { code, rows } = await deployment.cli.run(['runs', 'list']);
    assert.equal(code, 0);
    const counts = ['received', 'loaded', 'duplicates', 'quarantined', 'released'] as const;
    for (const [i, report] of reports.entries()) {
      const { left: _, ...expected } = report;
      for (const name of ['run_id', 'pipeline', 'trigger', 'state', 'started_at', 'finished_at', ...counts])
        assert.deepEqual(rows[i]?.[name], expected[name], `${name} of run ${i}`);
    }
    assert.equal((await deployment.cli.run(['runs', 'list', '--limit', '1'])).rows.length, 1);
    assert.equal((await deployment.cli.run(['-p', PIPELINE, 'runs', 'list'])).rows.length, 3);

    const shown = await deployment.cli.run(['runs', 'show', String(reports[2]?.['run_id'])]);
    assert.equal(shown.code, 0);
    const batches = shown.rows[0]?.['batches'] as { [name: string]: unknown }[];
    assertAddsUp(batches);
    for (const name of counts) {
      assert.equal(
        batches.reduce((sum, batch) => sum + Number(batch[name]), 0),
        reports[2]?.[name],
        name,
      );
    }
    const absent = await deployment.cli.run(['runs', 'show', '01890a5d-ac96-774b-bcce-b302099a8057']);
    assert.equal(absent.code, 1);
    const odd = await deployment.cli.run(['runs', 'show', 'nonsense']);
    assert.equal(odd.code, 1, odd.stderr);
  });
});
