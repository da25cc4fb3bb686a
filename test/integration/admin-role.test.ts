import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { type CliProcess, type Json, assertHas } from '../support/cli.js';
import { SMALL_COLUMNS, smallEvents } from '../support/events.js';
import { ask, basic } from '../support/http.js';
import { eventually } from '../support/queue.js';
import {
  type Deployment,
  type DeploymentOptions,
  PIPELINE,
  type Stack,
  startStack,
} from '../support/stack.js';

const TABLE = `public.${PIPELINE}`;
const DDL = `create table ${TABLE} (event_id varchar(32), device varchar(256))`;

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

const deploymentOf = (options: DeploymentOptions = {}): Promise<Deployment> =>
  stack.deployment({ ddl: DDL, ...options, pipeline: { columns: SMALL_COLUMNS, ...options.pipeline } });

async function stopped(role: CliProcess): Promise<void> {
  role.signal('SIGTERM');
  const { code, stderr } = await role.ended;
  assert.equal(code, 0, stderr);
}

async function status(port: unknown): Promise<Json> {
  const { status: answered, text } = await ask(port, '/api/status');
  assert.equal(answered, 200, text);
  return JSON.parse(text) as Json;
}

function problems(of: Json): readonly string[] {
  return (of['problems'] as readonly Json[]).map(({ subject }) => String(subject));
}

function away(of: Json): readonly string[] {
  return (of['dependencies'] as readonly Json[])
    .filter(({ ok }) => ok !== true)
    .map(({ name }) => String(name));
}

test('run admin shows what the others do, without keyring and KEK, and is seen itself', async () => {
  const deployment = await deploymentOf();
  await deployment.send(smallEvents(200, 20).bodies);
  assert.equal((await deployment.cli.run(['drain'])).code, 0);
  deployment.configure((config) => ({
    ...config,
    keyring: { file: '/nowhere/keyring.json', kek: { type: 'file', path: '/nowhere/kek' } },
  }));
  const admin = deployment.cli.spawn(['run', 'admin']);
  const { port } = await admin.waitFor('listening');
  const seen = await eventually(
    () => status(port),
    (of) => (of['processes'] as readonly Json[]).some(({ role }) => role === 'admin'),
  );
  const pipeline = (seen['pipelines'] as readonly Json[])[0] ?? assert.fail('there is one pipeline');
  assertHas(pipeline, { pipeline: PIPELINE, table: TABLE, breaker: 'closed', lag_seconds: 0 });
  assertHas(pipeline['last_run'] as Json, { trigger: 'drain', received: 200, loaded: 190, quarantined: 10 });
  assertHas(pipeline['quarantine'] as Json, { codes: { missing_field: 10 } });
  const page = await ask(port, '/');
  assert.match(page.text, /missing_field × 10/);
  const metrics = (await ask(port, '/metrics')).text;
  for (const line of [
    `maskline_sqs_queue_messages{pipeline="${PIPELINE}",state="visible"} 0`,
    `maskline_backlog_batches{pipeline="${PIPELINE}",stage="load"} 0`,
    `maskline_breaker_open{pipeline="${PIPELINE}"} 0`,
  ]) {
    assert.ok(metrics.includes(`${line}\n`), line);
  }
  assert.match(metrics, /maskline_schedule_last_success_timestamp_seconds\{pipeline="user_logins"\} \d+/);
  const board = JSON.parse((await ask(port, '/queues/api/queues')).text) as Json;
  assert.deepEqual(
    (board['queues'] as readonly Json[]).map(({ name }) => name),
    [`transform.${PIPELINE}`, `load.${PIPELINE}`],
  );
  await stopped(admin);
});

test('it does not serve other than loopback without credentials: exit 2, and both variables are named', async () => {
  const deployment = await deploymentOf({ keys: false });
  for (const env of [
    { HOST: '0.0.0.0' },
    { HOST: '0.0.0.0', MASKLINE_ADMIN_USER: 'ops' },
    { HOST: '::', MASKLINE_ADMIN_PASSWORD: 'secret' },
  ]) {
    const refused = await deployment.cli.run(['run', 'admin'], { env });
    assert.equal(refused.code, 2, refused.stderr);
    assert.match(refused.stderr, /MASKLINE_ADMIN_USER and MASKLINE_ADMIN_PASSWORD/);
  }
  const env = { HOST: '0.0.0.0', MASKLINE_ADMIN_USER: 'ops', MASKLINE_ADMIN_PASSWORD: 'correct horse' };
  const admin = deployment.cli.spawn(['run', 'admin'], { env });
  const { port } = await admin.waitFor('listening');
  assert.equal((await ask(port, '/')).status, 401);
  assert.equal((await ask(port, '/', { headers: basic('ops', 'correct horse') })).status, 200);
  assert.equal((await ask(port, '/livez')).status, 200);
  await stopped(admin);
  assert.doesNotMatch(admin.stderr, /correct horse/);
});

test('a taken port, a PORT that is none and queues in memory are exit 2', async () => {
  const deployment = await deploymentOf({ keys: false });
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  const PORT = String(typeof address === 'object' && address ? address.port : 0);
  try {
    const taken = await deployment.cli.run(['run', 'admin'], { env: { PORT } });
    assert.equal(taken.code, 2, taken.stderr);
    assert.match(taken.stderr, new RegExp(PORT));
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
  assert.equal((await deployment.cli.run(['run', 'admin'], { env: { PORT: 'x' } })).code, 2);
  deployment.configure((config) => ({ ...config, queue: { url: 'memory://' } }));
  const memory = await deployment.cli.run(['run', 'admin']);
  assert.equal(memory.code, 2);
  assert.match(memory.stderr, /memory:\/\//);
});

test('it starts, stays up and says what is away and since when, while Redis is', async () => {
  const deployment = await deploymentOf({ keys: false });
  await stack.redis.kill();
  let admin: CliProcess;
  try {
    admin = deployment.cli.spawn(['run', 'admin']);
    const { port } = await admin.waitFor('listening');
    assert.deepEqual(away(await status(port)), ['queue']);
    assert.equal((await ask(port, '/readyz')).status, 503);
    assert.equal((await ask(port, '/livez')).status, 200);
    const page = await ask(port, '/');
    assert.match(page.text, /Queue: [^]*redis_unavailable[^]*Since \d\d:\d\d:\d\d UTC/);
    const board = await ask(port, '/queues/api/queues');
    assert.equal(board.status, 500);
    assert.match(board.text, /Redis at 127\.0\.0\.1:\d+ does not answer/);
    await stack.redis.restart();
    await eventually(
      () => status(port),
      (of) => away(of).length === 0 && !problems(of).includes('queue'),
      20_000,
    );
    assert.equal((await ask(port, '/readyz')).status, 200);
  } finally {
    await stack.redis.restart().catch(() => undefined);
  }
  await stopped(admin);
});

test('it starts, stays up and says so while Postgres is away, and goes on when it is back', async () => {
  const deployment = await deploymentOf({ keys: false });
  const gone = new URL(deployment.database);
  // Nobody listens there; the address is free for a server that comes later.
  gone.port = '1';
  const admin = deployment.cli.spawn(['run', 'admin'], { env: { DATABASE_URL: gone.href } });
  const { port } = await admin.waitFor('listening');
  assert.deepEqual(away(await status(port)), ['postgres']);
  const page = await ask(port, '/');
  assert.equal(page.status, 200);
  assert.match(page.text, /Not known: Postgres does not answer/);
  assert.match(page.text, /Postgres: [^]*Since \d\d:\d\d:\d\d UTC/);
  assert.equal((await ask(port, '/readyz')).status, 503);
  assert.equal((await ask(port, '/metrics')).status, 200);
  await stopped(admin);
});

test('a database without the schema is no reason to go away: the page says what to run', async () => {
  const deployment = await deploymentOf({ keys: false, ddl: null });
  const admin = deployment.cli.spawn(['run', 'admin']);
  const { port } = await admin.waitFor('listening');
  assert.match((await ask(port, '/')).text, /maskline migrate|<span>migrate<\/span>/);
  assert.equal((await ask(port, '/readyz')).status, 503);
  assert.equal((await deployment.cli.run(['migrate'])).code, 0);
  await eventually(
    () => status(port),
    (of) => away(of).length === 0,
    20_000,
  );
  await stopped(admin);
});

test('run all serves the same pages, and says why there are no queues to look into under memory://', async () => {
  const deployment = await deploymentOf({ pipeline: { schedule: '* * * * * *' } });
  await deployment.send(smallEvents(100, 10).bodies);
  const all = deployment.cli.spawn(['run', 'all']);
  const { port } = await all.waitFor('listening');
  await deployment.countUntil('maskline.ledger', (count) => count === 100);
  await eventually(
    async () => (await ask(port, '/')).text,
    (page) => page.includes('All is well') && page.includes('missing_field × 10'),
  );
  assert.equal((await ask(port, '/queues')).status, 200);
  await stopped(all);
  deployment.configure((config) => ({ ...config, queue: { url: 'memory://' } }));
  const inMemory = deployment.cli.spawn(['run', 'all']);
  const memory = await inMemory.waitFor('listening');
  assert.match((await ask(memory['port'], '/queues')).text, /No queues to look into/);
  assert.equal((await ask(memory['port'], '/')).status, 200);
  await stopped(inMemory);
});

test('it makes the ledger partitions of the days to come', async () => {
  const deployment = await deploymentOf({ keys: false });
  const days = `pg_inherits join pg_class c on c.oid = inhrelid
    where inhparent = 'maskline.ledger'::regclass and pg_get_expr(relpartbound, c.oid) <> 'DEFAULT'`;
  await deployment.query(
    `do $$ declare day regclass; begin
       for day in select inhrelid::regclass from ${days} loop execute format('drop table %s', day); end loop;
     end $$`,
  );
  assert.equal(await deployment.count(days), 0);
  const admin = deployment.cli.spawn(['run', 'admin']);
  await admin.waitFor('maintenance');
  assert.ok((await deployment.count(days)) > 2);
  await stopped(admin);
});
