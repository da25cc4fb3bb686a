import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type CliProcess, assertHas } from '../support/cli.js';
import { SMALL_COLUMNS, smallEvents } from '../support/events.js';
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

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

const deploymentOf = (
  pipeline: DeploymentOptions['pipeline'] = {},
  kind: Pick<DeploymentOptions, 'ddl' | 'roles'> = { ddl: DDL },
): Promise<Deployment> =>
  stack.deployment({
    ...kind,
    pipeline: {
      schedule: '* * * * * *',
      batch: { max_messages: 100, linger: '100ms' },
      columns: SMALL_COLUMNS,
      ...pipeline,
    },
  });

async function get(port: unknown, path: string): Promise<{ readonly status: number; readonly text: string }> {
  const answer = await fetch(`http://127.0.0.1:${Number(port)}${path}`);
  return { status: answer.status, text: await answer.text() };
}

async function stopped(process: CliProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  process.signal(signal);
  const { code, stderr } = await process.ended;
  assert.equal(code, 0, stderr);
}

describe('run all', () => {
  test('serves its probes and metrics on any free port with PORT=0, and names the port in its log', async () => {
    const deployment = await deploymentOf();
    await deployment.send(smallEvents(200, 20).bodies);
    const all = deployment.cli.spawn(['run']);
    const { port, host } = await all.waitFor('listening');
    assert.equal(host, '127.0.0.1');
    assert.equal((await get(port, '/livez')).status, 200);
    await all.waitFor('started');
    const ready = await eventually(
      () => get(port, '/readyz?verbose'),
      ({ status }) => status === 200,
    );
    for (const check of ['postgres', `queue ${PIPELINE}`, `source ${PIPELINE}`]) {
      assert.ok(ready.text.includes(check), `${check} in ${ready.text}`);
    }
    assert.equal((await get(port, '/nowhere')).status, 404);
    await deployment.countUntil('maskline.ledger', (count) => count === 200);
    const expected = [
      `maskline_rows_loaded_total{pipeline="${PIPELINE}",table="${TABLE}"} 190`,
      `maskline_rows_quarantined_total{pipeline="${PIPELINE}",code="missing_field"} 10`,
      `maskline_sqs_messages_received_total{pipeline="${PIPELINE}"} 200`,
      `maskline_sqs_messages_deleted_total{pipeline="${PIPELINE}"} 200`,
      `maskline_sqs_queue_messages{pipeline="${PIPELINE}",state="visible"} 0`,
      `maskline_backlog_batches{pipeline="${PIPELINE}",stage="load"} 0`,
    ];
    const metrics = await eventually(
      async () => (await get(port, '/metrics')).text,
      (text) => expected.every((line) => text.includes(`${line}\n`)),
    );
    assert.match(metrics, /^# TYPE maskline_rows_loaded_total counter$/m);
    await stopped(all);
    await assert.rejects(get(port, '/livez'), 'the port is free again');
  });

  test('goes on with what comes, run after run, and ends with 0 at a signal with work in hand', async () => {
    const deployment = await deploymentOf();
    const { bodies, goodIds } = smallEvents(6_000, 100);
    const all = deployment.cli.spawn(['run', 'all']);
    await all.waitFor('started');
    await deployment.send(bodies.slice(0, 1_000));
    await deployment.countUntil('maskline.ledger', (count) => count === 1_000);
    await deployment.countUntil(`maskline.runs where state = 'succeeded'`, (count) => count > 0);
    await deployment.send(bodies.slice(1_000));
    await deployment.countUntil('maskline.ledger', (count) => count > 1_000);
    await stopped(all, 'SIGINT');
    const runs = await deployment.runs();
    assert.ok(runs.length >= 2);
    assertAddsUp(runs);
    assert.equal(await deployment.count(`maskline.runs where state = 'running'`), 0, 'none is left open');
    // What it gave back is visible at once, and one drain brings it.
    const { code } = await deployment.cli.run(['drain']);
    assert.equal(code, 0);
    const rows = await deployment.query(`select event_id from ${TABLE} order by event_id collate "C"`);
    assert.deepEqual(
      rows.map((row) => row['event_id']),
      goodIds,
    );
  });

  test('under `continuous` receives without a schedule', async () => {
    const deployment = await deploymentOf({ schedule: 'continuous' });
    const all = deployment.cli.spawn(['run', 'all']);
    await all.waitFor('started');
    for (const count of [1, 2, 3]) {
      await deployment.send(['{"event_id":"x","device":"d"}']);
      await deployment.countUntil(TABLE, (rows) => rows === count);
    }
    await stopped(all);
  });

  test('is not ready while Redis is away, and ready again by itself', async () => {
    const deployment = await deploymentOf();
    const all = deployment.cli.spawn(['run', 'all']);
    const { port } = await all.waitFor('listening');
    const readiness = (status: number) =>
      eventually(
        async () => (await get(port, '/readyz')).status,
        (answer) => answer === status,
        30_000,
      );
    await readiness(200);
    await stack.redis.kill();
    try {
      await readiness(503);
      assert.equal((await get(port, '/livez')).status, 200, 'alive all the same: a restart would not help');
    } finally {
      await stack.redis.restart();
    }
    await readiness(200);
    await deployment.send(['{"event_id":"x","device":"d"}']);
    await deployment.countUntil(TABLE, (rows) => rows === 1);
    await stopped(all);
  });

  test('ends with 2 when its port is taken; a worker goes on without', async () => {
    const deployment = await deploymentOf();
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const address = server.address();
    const PORT = String(typeof address === 'object' && address ? address.port : 0);
    try {
      const all = await deployment.cli.run(['run', 'all'], { env: { PORT } });
      assert.equal(all.code, 2, all.stderr);
      assert.match(all.stderr, new RegExp(PORT));
      const worker = deployment.cli.spawn(['run', 'transform'], { env: { PORT } });
      await worker.waitFor('started');
      assert.ok(worker.log.all.some((line) => line['event'] === 'http_off'));
      await stopped(worker);
      const odd = await deployment.cli.run(['run', 'all'], { env: { PORT: '99999' } });
      assert.equal(odd.code, 2);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });
});

describe('run', () => {
  test('with a role each, in the database too, three processes do what one does', async () => {
    const deployment = await deploymentOf({}, { roles: true });
    const { bodies, goodIds } = smallEvents(2_000, 100);
    const roles = (['ingest', 'transform', 'load'] as const).map((role) => deployment.start(role));
    await deployment.send(bodies);
    await deployment.countUntil('maskline.ledger', (count) => count === bodies.length);
    await eventually(
      () => deployment.depth(),
      ({ visible, inFlight }) => visible + inFlight === 0,
    );
    for (const each of roles) await stopped(each);
    assert.equal(await deployment.count(TABLE), goodIds.length);
    assertAddsUp(await deployment.runs());
  });

  test('keeps to the pipelines that --pipeline names', async () => {
    const deployment = await deploymentOf();
    deployment.configure((config) => ({
      ...config,
      pipelines: {
        ...config.pipelines,
        // Nothing that it names exists.
        elsewhere: {
          ...config.pipelines[PIPELINE],
          source: { sqs: { queue: 'absent' } },
          target: { table: 'absent' },
        },
      },
    }));
    const all = deployment.cli.spawn(['-p', PIPELINE, 'run', 'all']);
    assertHas(await all.waitFor('started'), { role: 'all', pipeline: [PIPELINE] });
    await stopped(all);
  });

  test('over memory:// runs all stages in one process, and refuses to be one of several', async () => {
    const deployment = await deploymentOf();
    deployment.configure((config) => ({ ...config, queue: { url: 'memory://' } }));
    await deployment.send(smallEvents(500, 50).bodies);
    const { code, rows, stderr } = await deployment.cli.run(['drain']);
    assert.equal(code, 0, stderr);
    assertHas(rows[0], { received: 500, loaded: 490, quarantined: 10 });
    for (const role of ['ingest', 'transform', 'load']) {
      const alone = await deployment.cli.run(['run', role]);
      assert.equal(alone.code, 2);
      assert.match(alone.stderr, /memory:\/\//);
    }
    const drained = await deployment.cli.run(['drain', '--ingest-only']);
    assert.equal(drained.code, 2, drained.stderr);
  });

  test('over postgres:// needs no Redis: the queues are in Postgres, made by migrate', async () => {
    const deployment = await deploymentOf();
    const env = { REDIS_URL: deployment.database };
    await deployment.send(smallEvents(500, 50).bodies);
    const unmade = await deployment.cli.run(['drain'], { env });
    assert.equal(unmade.code, 2, unmade.stderr);
    assert.match(unmade.stderr, /maskline migrate/);
    assert.equal((await deployment.cli.run(['migrate'], { env })).code, 0);
    const { code, rows, stderr } = await deployment.cli.run(['drain'], { env });
    assert.equal(code, 0, stderr);
    assertHas(rows[0], { received: 500, loaded: 490, quarantined: 10 });
  });
});
