import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertHas } from '../support/cli.js';
import { smallEvents, SMALL_COLUMNS } from '../support/events.js';
import { type Deployment, PIPELINE, type Stack, startStack } from '../support/stack.js';

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

const COUNT = 20;
const { bodies } = smallEvents(COUNT, COUNT + 1);

async function deploymentOf(): Promise<Deployment> {
  const deployment = await stack.deployment({
    ddl: `create table public.${PIPELINE} (event_id varchar(32), device varchar(256))`,
    pipeline: { batch: { linger: '50ms' }, columns: SMALL_COLUMNS },
  });
  await deployment.send(bodies);
  return deployment;
}

/** Names of the migrations, oldest first. */
async function migrations(deployment: Deployment): Promise<readonly string[]> {
  const rows = await deployment.query('select name from maskline.migrations order by id');
  return rows.map((row) => String(row['name']));
}

test('a schema that is older than the process is refused by all that works on it, and nothing is received', async () => {
  // GIVEN a database that an older version has migrated
  const deployment = await deploymentOf();
  const latest = (await migrations(deployment)).at(-1);
  await deployment.query('delete from maskline.migrations where name = $1', [latest]);
  // WHEN this version is started on it
  for (const args of [['drain'], ['run'], ['run', 'ingest'], ['run', 'load']]) {
    const { code, stderr } = await deployment.cli.run(args);
    // THEN it ends with 2 and says what to run
    assert.equal(code, 2, `${args.join(' ')}: ${stderr}`);
    assert.ok(
      stderr.includes(`the schema maskline lacks ${latest}; run \`maskline migrate\``),
      `${args.join(' ')}: ${stderr}`,
    );
  }
  assertHas({ ...(await deployment.depth()) }, { visible: COUNT, inFlight: 0 });
  assert.deepEqual(
    await deployment.receiveCounts(),
    Array.from({ length: 10 }, () => 0),
  );
});

test('a schema that a newer version has migrated serves this one: it loads, looks and migrates as ever', async () => {
  // GIVEN a database with a migration of the future, which adds and takes nothing away
  const deployment = await deploymentOf();
  await deployment.query(
    `alter table maskline.runs add column of_the_future text;
     insert into maskline.migrations (name, run_on) values ('9999_future', now())`,
  );
  // WHEN this version works on it
  const drained = await deployment.cli.run(['drain']);
  // THEN it loads all, and leaves the schema as it is
  assert.equal(drained.code, 0, drained.stderr);
  assertHas(drained.rows[0], { state: 'succeeded', received: COUNT, loaded: COUNT });
  for (const args of [['migrate'], ['prove'], ['runs', 'list']]) {
    const { code, stderr } = await deployment.cli.run(args);
    assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
  }
  assert.equal((await migrations(deployment)).at(-1), '9999_future');
  const { stdout } = await deployment.cli.run(['migrate', 'status']);
  assert.match(stdout, /9999_future/);
});
