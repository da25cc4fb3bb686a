import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Json, assertHas } from '../support/cli.js';
import { DATABASE_ROLES, type DatabaseUser, urlAs } from '../support/database-roles.js';
import { hundredLoginEvents } from '../support/login-events.js';
import { freePort } from '../../src/embedded/free-port.js';
import { type Deployment, PIPELINE, type Stack, startStack } from '../support/stack.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

const SECRET = 'wr0ng-passw0rd';

let stack: Stack;
let deployment: Deployment;

/** A URL for each user, of one file that all processes share. */
function urls(change: Readonly<{ [user in DatabaseUser]?: string }> = {}): Json {
  const users = ['ingest', 'transform', 'load', 'admin', 'owner'] as const;
  const own = users.map((user) => [user, urlAs(deployment.database, DATABASE_ROLES[user])] as const);
  return { ...Object.fromEntries(own), ...change };
}

function configure(database: Json): void {
  deployment.configure((config) => ({ ...config, database }));
}

/** Which database users are connected, by the name that their process gives. */
async function connected(): Promise<readonly Json[]> {
  return deployment.query(
    `select distinct application_name as process, usename as "user" from pg_stat_activity
      where application_name like 'maskline-%' order by 1`,
  );
}

describe('a user of its own for every process, in one file', () => {
  before(async () => {
    stack = await startStack();
    deployment = await stack.deployment({ roles: true });
  });

  after(() => stack.stop());

  test('each process connects as its own user, and together they load', async () => {
    // Without `url`: nothing here may fall back on it.
    configure({ roles: urls() });
    deployment.configurePipeline({ schedule: '* * * * * *' });
    const env = { DATABASE_URL: undefined };
    const migrated = await deployment.cli.run(['migrate'], { env });
    assert.equal(migrated.code, 0, migrated.stderr);
    const processes = (['ingest', 'transform', 'load'] as const).map((role) =>
      deployment.cli.spawn(['run', role], { env }),
    );
    await Promise.all(processes.map((one) => one.waitFor('started')));
    assert.deepEqual(await connected(), [
      { process: 'maskline-ingest', user: 'maskline_ingest' },
      { process: 'maskline-load', user: 'maskline_loader' },
      { process: 'maskline-transform', user: 'maskline_transform' },
    ]);
    await deployment.send(hundredLoginEvents().bodies);
    await deployment.countUntil(`public.${PIPELINE}`, (rows) => rows === 99);
    const runs = await deployment.cli.run(['runs', 'list'], { env });
    assert.equal(runs.code, 0, runs.stderr);
    assert.ok(runs.rows.length > 0);
    for (const one of processes) one.signal('SIGTERM');
    for (const one of processes) assert.equal((await one.ended).code, 0);
  });

  test('what is several roles in one process says that it needs database.url, and ends with 2', async () => {
    configure({ roles: urls() });
    for (const args of [['drain'], ['run']]) {
      const { code, stderr } = await deployment.cli.run(args, { env: { DATABASE_URL: undefined } });
      assert.equal(code, 2, stderr);
      assert.match(stderr, /database\.url is missing/);
    }
  });

  test('validate --connect tries each URL, and says which one fails and why, without its password', async () => {
    const wrong = new URL(urlAs(deployment.database, DATABASE_ROLES.load));
    wrong.password = SECRET;
    configure({ url: deployment.database, roles: urls({ load: wrong.href }) });
    const { code, rows, stdout, stderr } = await deployment.cli.run(['validate', '--connect']);
    assert.equal(code, 2, stderr);
    const byDatabase = rows.filter(({ subject }) => String(subject).startsWith('database'));
    assert.equal(byDatabase.length, 1, stdout);
    assertHas(byDatabase[0], {
      severity: 'error',
      subject: 'database.roles.load',
      code: 'permission_denied',
    });
    assert.match(String(byDatabase[0]?.['message']), /login.*28P01/);
    assert.ok(!`${stdout}${stderr}`.includes(SECRET));
  });

  test('validate --connect ends with 3 when one of them is away, and with 0 when all are there', async () => {
    const away = new URL(urlAs(deployment.database, DATABASE_ROLES.admin));
    away.port = String(await freePort());
    configure({ url: deployment.database, roles: urls({ admin: away.href }) });
    const missing = await deployment.cli.run(['validate', '--connect']);
    assert.equal(missing.code, 3, missing.stdout);
    assertHas(
      missing.rows.find(({ subject }) => subject === 'database.roles.admin'),
      {
        code: 'postgres_unavailable',
      },
    );
    configure({ url: deployment.database, roles: urls() });
    const { code, stdout } = await deployment.cli.run(['validate', '--connect']);
    assert.equal(code, 0, stdout);
  });

  test('TLS that the server does not have ends a start with 2, at once', async () => {
    configure({ url: `${deployment.database}?sslmode=verify-full` });
    for (const args of [['run', 'load'], ['drain'], ['migrate'], ['runs', 'list']]) {
      const { code, stderr } = await deployment.cli.run(args);
      assert.equal(code, 2, stderr);
      assert.match(stderr, /offers no TLS/);
    }
    configure({ url: `${deployment.database}?sslmode=prefer` });
    const refused = await deployment.cli.run(['drain']);
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /maskline\.yaml:\d+:\d+ database\.url: sslmode=prefer/);
  });
});
