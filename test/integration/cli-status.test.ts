import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Socket, createServer } from 'node:net';
import { after, before, test } from 'node:test';
import type { Status } from '../../src/ops/status.js';
import type { CliResult } from '../support/cli.js';
import { SMALL_COLUMNS, smallEvents } from '../support/events.js';
import { eventually } from '../support/queue.js';
import {
  type Deployment,
  type DeploymentOptions,
  PIPELINE,
  type Stack,
  startStack,
} from '../support/stack.js';

const DDL = `create table public.${PIPELINE} (event_id varchar(32), device varchar(256))`;
/** Nobody listens there: the port of "discard". */
const NOWHERE = '127.0.0.1:9';

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

const deploymentOf = (options: DeploymentOptions = {}): Promise<Deployment> =>
  stack.deployment({
    ddl: DDL,
    ...options,
    pipeline: {
      schedule: '* * * * * *',
      columns: SMALL_COLUMNS,
      batch: { linger: '100ms' },
      ...options.pipeline,
    },
  });

function statusOf({ stdout }: Pick<CliResult, 'stdout'>): Status {
  return JSON.parse(stdout) as Status;
}

const lines = (text: string): readonly string[] => text.split('\n').filter((line) => line !== '');

async function status(deployment: Deployment): Promise<Status> {
  const result = await deployment.cli.run(['status']);
  assert.equal(result.code, 0, result.stderr);
  assert.equal(result.stderr, '');
  return statusOf(result);
}

test('a deployment at work is healthy, and every figure is that of the servers', async () => {
  const deployment = await deploymentOf();
  await deployment.send(smallEvents(100, 20).bodies);
  await deployment.send(['no json', '[1]']);
  const all = deployment.cli.spawn(['run', 'all']);
  await all.waitFor('started');
  await deployment.countUntil('maskline.ledger', (count) => count === 102);
  await deployment.countUntil('maskline.runs where finished_at is null', (count) => count === 0);
  await deployment.countUntil(
    'maskline.schedules where last_succeeded_at is not null',
    (count) => count === 1,
  );
  const healthy = await eventually(
    () => deployment.cli.run(['status', '--check']),
    ({ code }) => code === 0,
    30_000,
  );
  assert.equal(healthy.stderr, '');
  const found = statusOf(healthy);
  assert.deepEqual([found.healthy, found.problems], [true, []]);
  assert.deepEqual(found.dependencies, [
    { name: 'postgres', ok: true, code: null },
    { name: 'queue', ok: true, code: null },
    { name: `source ${PIPELINE}`, ok: true, code: null },
  ]);
  const [process] = found.processes;
  assert.equal(found.processes.length, 1);
  assert.deepEqual([process?.role, process?.pipelines], ['all', [PIPELINE]]);
  assert.match(process?.owner ?? '', new RegExp(`:${all.pid}$`));
  const [pipeline] = found.pipelines;
  const [run] = await deployment.query(
    `select run_id, state, received::int from maskline.runs order by started_at desc limit 1`,
  );
  assert.deepEqual(pipeline?.quarantine, {
    open: 7,
    codes: { missing_field: 5, not_json: 1, not_object: 1 },
    capped: false,
  });
  assert.deepEqual(pipeline?.queue, { visible: 0, in_flight: 0, delayed: 0 });
  assert.deepEqual(pipeline?.backlog?.load, { waiting: 0, active: 0, failed: 0 });
  assert.equal(pipeline?.last_run?.run_id, run?.['run_id']);
  assert.equal(pipeline?.last_run?.received, run?.['received']);
  assert.deepEqual([pipeline?.lag_seconds, pipeline?.breaker, pipeline?.failed_last_hour], [0, 'closed', 0]);
  assert.ok(Date.parse(pipeline?.next_at ?? '') > Date.parse(found.at));
  assert.ok(Date.parse(found.at) - Date.parse(pipeline?.last_succeeded_at ?? '') < 30_000);
  // The metric tells the same time as the record.
  const { port } = await all.waitFor('listening');
  const difference = async (): Promise<number> => {
    const metrics = await (await fetch(`http://127.0.0.1:${Number(port)}/metrics`)).text();
    const metric = /last_success_timestamp_seconds\{.*\} (\S+)/.exec(metrics)?.[1];
    const [times] = await deployment.query('select last_succeeded_at as at from maskline.schedules');
    return Math.abs(Number(metric) * 1_000 - Number(times?.['at']));
  };
  await eventually(difference, (ms) => ms < 1);

  // A clean stop takes it off the record, and then nobody does the work.
  all.signal('SIGTERM');
  assert.equal((await all.ended).code, 0);
  const { processes, problems } = await status(deployment);
  assert.deepEqual(processes, []);
  assert.deepEqual(
    problems.map(({ subject }) => subject),
    ['role all'],
  );
});

test('a process that was killed counts as gone after 30 s, though it is still on record', async () => {
  const deployment = await deploymentOf();
  const roles = ['ingest', 'transform', 'load'].map((role) => deployment.cli.spawn(['run', role]));
  await Promise.all(roles.map((role) => role.waitFor('started')));
  const load = roles[2];
  await eventually(
    async () => (await status(deployment)).healthy,
    (healthy) => healthy,
    30_000,
  );
  await load?.kill();
  await deployment.query(
    `update maskline.processes set seen_at = now() - interval '31 seconds' where role = 'load'`,
  );
  const { code, stderr, stdout } = await deployment.cli.run(['status', '--check']);
  assert.equal(code, 1);
  assert.equal(
    stderr,
    `role load: no process for ${PIPELINE} has been seen for 30 s; start \`maskline run load\`\n`,
  );
  assert.equal(statusOf({ stdout }).processes.length, 3);
  await Promise.all(roles.map((role) => role.kill()));
});

test('a batch that waits makes the lag count from the last run that ended well', async () => {
  const deployment = await deploymentOf({ pipeline: { schedule: '0 0 1 1 *' } });
  await deployment.cli.run(['drain']);
  const [row] = await deployment.query('select last_succeeded_at as at from maskline.schedules');
  const drainedAt = Number(row?.['at']);
  await deployment.send(['{"event_id":"x","device":"d"}']);
  const found = await status(deployment);
  const lag = found.pipelines[0]?.lag_seconds ?? -1;
  assert.ok(Math.abs(lag * 1_000 - (Date.parse(found.at) - drainedAt)) <= 1_000, `${lag}`);
  assert.equal(found.pipelines[0]?.queue?.visible, 1);
});

test('with everything away it still prints what it knows, without keys, and --check says each in a line', async () => {
  const deployment = await deploymentOf({ keys: false });
  const env = {
    DATABASE_URL: `postgres://nobody@${NOWHERE}/none`,
    REDIS_URL: `redis://${NOWHERE}`,
    AWS_ENDPOINT_URL_SQS: `http://${NOWHERE}`,
  };
  const started = Date.now();
  const away = await deployment.cli.run(['status'], { env });
  assert.equal(away.code, 0, 'it ran; --check judges');
  assert.ok(Date.now() - started < 15_000);
  const found = statusOf(away);
  assert.equal(found.healthy, false);
  assert.deepEqual(
    found.dependencies.map(({ name, ok }) => [name, ok]),
    [
      ['postgres', false],
      ['queue', false],
      [`source ${PIPELINE}`, false],
    ],
  );
  const [pipeline] = found.pipelines;
  assert.deepEqual(
    [pipeline?.pipeline, pipeline?.queue, pipeline?.backlog, pipeline?.quarantine, pipeline?.breaker],
    [PIPELINE, null, null, null, null],
  );
  const checked = await deployment.cli.run(['status', '--check'], { env });
  assert.equal(checked.code, 1);
  assert.deepEqual(
    lines(checked.stderr).map((line) => line.split(':')[0]),
    ['postgres', 'queue', `source ${PIPELINE}`],
  );
});

test('what takes a connection and never answers holds nobody up, not even the end of the command', async () => {
  const deployment = await deploymentOf({ keys: false });
  const silent = createServer();
  const sockets: Socket[] = [];
  silent.on('connection', (socket) => sockets.push(socket));
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const address = silent.address();
  const place = `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  const env = {
    DATABASE_URL: `postgres://nobody@${place}/none`,
    REDIS_URL: `redis://${place}`,
    AWS_ENDPOINT_URL_SQS: `http://${place}`,
  };
  const started = Date.now();
  const { code, stdout } = await deployment.cli.run(['status', '--check'], { env });
  assert.equal(code, 1);
  assert.equal(statusOf({ stdout }).dependencies.filter(({ ok }) => ok).length, 0);
  assert.ok(Date.now() - started < 15_000, `${Date.now() - started} ms`);
  for (const socket of sockets) socket.destroy();
  silent.close();
});

test('a database without the schema is told as such', async () => {
  const deployment = await deploymentOf({ ddl: null, keys: false });
  const { code, stderr } = await deployment.cli.run(['status', '--check']);
  assert.equal(code, 1);
  assert.match(stderr, /^postgres: cannot be asked: schema_outdated; run `maskline migrate`$/m);
});

test('a pause is shown and is no fault; an open breaker is, with its reason and the way out', async () => {
  const deployment = await deploymentOf({ pipeline: { schedule: '0 0 1 1 *' } });
  await deployment.query(
    `insert into maskline.processes (id, role, owner, version, pipelines)
     values (gen_random_uuid(), 'all', 'elsewhere:1', '1', array['${PIPELINE}'])`,
  );
  await deployment.cli.run(['schedule', 'pause', PIPELINE, '--reason', 'a move']);
  const paused = await deployment.cli.run(['status', '--check']);
  assert.equal(paused.code, 0, paused.stderr);
  assert.equal(statusOf(paused).pipelines[0]?.pause_reason, 'a move');
  await deployment.query(
    `insert into maskline.breaker (pipeline, state, reason) values ('${PIPELINE}', 'open', 'too many')`,
  );
  const { code, stderr } = await deployment.cli.run(['status', '--check']);
  assert.equal(code, 1);
  assert.match(
    stderr,
    new RegExp(`^pipeline ${PIPELINE}: its breaker has been open since .*: too many; .*resume`),
  );
  assert.equal(lines(stderr).length, 1);
});

test('jobs that failed within the hour are told, with their code', async () => {
  const deployment = await deploymentOf({ pipeline: { schedule: '0 0 1 1 *' } });
  await deployment.send(['{"event_id":"x","device":"d"}']);
  // The loader may not insert into this table, which no start looks at.
  await deployment.query(
    `create function refuse() returns trigger language plpgsql as $$ begin return null; end $$`,
  );
  await deployment.query(
    `create trigger refuse before insert on public.${PIPELINE} for each row execute function refuse()`,
  );
  assert.equal((await deployment.cli.run(['drain'])).code, 1);
  const { pipelines, problems } = await status(deployment);
  assert.deepEqual([pipelines[0]?.backlog?.load.failed, pipelines[0]?.failed_last_hour], [1, 1]);
  const problem = problems.find(({ what }) => what.includes('failed within'));
  assert.equal(problem?.what, '1 load job failed within the hour: row_count_differs');
  assert.match(problem?.remedy ?? '', /failed list/);
});

test('over memory:// it tells what another process can know, and that `all` is missing', async () => {
  const deployment = await deploymentOf({ file: { queue: { url: 'memory://' } }, keys: false });
  const { pipelines, problems, dependencies } = await status(deployment);
  assert.equal(pipelines[0]?.backlog, null);
  assert.deepEqual(
    dependencies.map(({ name }) => name),
    ['postgres', `source ${PIPELINE}`],
  );
  assert.deepEqual(
    problems.map(({ remedy }) => remedy),
    ['start `maskline run`'],
  );
});

test('--watch prints one object per refresh off a terminal, until it is told to stop', async () => {
  const deployment = await deploymentOf({ keys: false });
  const watch = deployment.cli.spawn(['status', '--watch']);
  await eventually(
    async () => lines(watch.stdout).length,
    (count) => count >= 2,
    30_000,
  );
  watch.signal('SIGINT');
  const { code, stdout } = await watch.ended;
  assert.equal(code, 0);
  for (const line of lines(stdout)) assert.equal((JSON.parse(line) as Status).healthy, false);
  const both = await deployment.cli.run(['status', '--watch', '--check']);
  assert.equal(both.code, 2);
});

test('an ingester does not start on a queue that keeps messages for longer than the ledger remembers them', async () => {
  const deployment = await deploymentOf({
    queueAttributes: { MessageRetentionPeriod: String(4 * 86_400) },
  });
  const remember = (ledger: string): void =>
    deployment.configure(({ queue, ...rest }) => ({
      ...rest,
      queue: { ...(queue as object), keep_failed: { age: '1d' } },
      retention: { ledger },
    }));
  remember('4d');
  const { code, stderr } = await deployment.cli.run(['drain']);
  assert.equal(code, 2);
  assert.match(stderr, /keeps messages for 4d, and retention.ledger is 4d/);
  const validated = await deployment.cli.run(['validate', '--connect']);
  assert.equal(validated.code, 2);
  assert.match(validated.stdout, /retention.ledger/);
  remember('5d');
  assert.equal((await deployment.cli.run(['drain'])).code, 0);
});
