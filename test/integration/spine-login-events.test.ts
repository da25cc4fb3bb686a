import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { after, before, describe, test } from 'node:test';
import { assertHas } from '../support/cli.js';
import { type LoginEvent, hundredLoginEvents } from '../support/login-events.js';
import { openKeyringOracle, tokenOracle } from '../support/oracle.js';
import {
  type Deployment,
  LOGIN_COLUMNS,
  PIPELINE,
  type Stack,
  assertAddsUp,
  startStack,
} from '../support/stack.js';

const { bodies, logins } = hundredLoginEvents();
/** Shifts the clock of a process that is started with `--import` of it. */
const TOMORROW = fileURLToPath(new URL('../support/tomorrow.js', import.meta.url));
const NOTHING = { visible: 0, inFlight: 0, delayed: 0 };

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

describe('a hundred login events', () => {
  const kek = randomBytes(32).toString('base64');
  let deployment: Deployment;
  let ids: readonly string[];

  /** Every row that the logins should have become, as text, sorted. */
  const expected = (times: number): readonly string[] => {
    const master = openKeyringOracle(readFileSync(deployment.keyringFile, 'utf8'), kek).get(1);
    assert.ok(master);
    const row = (login: LoginEvent): string =>
      JSON.stringify([
        login.user_id,
        login.device_type,
        tokenOracle(master, 1, 'siv', 'ip', 'ip', login.ip),
        tokenOracle(master, 1, 'siv', 'device_id', 'text', login.device_id),
        login.locale,
        login.app_version,
      ]);
    return logins.flatMap((login) => new Array<string>(times).fill(row(login))).sort();
  };
  const actual = async (): Promise<readonly string[]> => {
    const rows = await deployment.query(
      `select jsonb_build_array(user_id, device_type, masked_ip, masked_device_id, locale, app_version) as r
         from public.${PIPELINE}`,
    );
    return rows.map((row) => JSON.stringify(row['r'])).sort();
  };

  before(async () => {
    deployment = await stack.deployment({
      ddl: null,
      keys: false,
      file: { keyring: {} },
      pipeline: { target: { table: `public.${PIPELINE}`, create: true } },
    });
  });
  const run = (args: readonly string[], env = {}) =>
    deployment.cli.run(args, {
      env: { MASKLINE_KEK: kek, MASKLINE_KEYRING: deployment.keyringFile, ...env },
    });

  test('are of the kind that this test is about', () => {
    assert.equal(bodies.length, 100);
    assert.equal(logins.length, 99);
    assert.equal(logins.filter((login) => login.locale === null).length, 29);
    assert.equal(logins.filter((login) => login.app_version === '0.60').length, 1);
    const first = logins.map((login) => Number(login.ip.split('.')[0]));
    assert.ok(
      first.some((byte) => byte >= 240),
      'an address in 240/4',
    );
    assert.ok(
      first.some((byte) => byte >= 224 && byte < 240),
      'a multicast address',
    );
    assert.ok(first.includes(127), 'a loopback address');
  });

  test('go through a deployment made by init of keys, migrate and validate', async () => {
    for (const args of [['keys', 'init'], ['migrate'], ['validate', '--connect', '--strict']]) {
      const { code, stderr, stdout } = await run(args);
      assert.equal(code, 0, `${args.join(' ')}: ${stderr}${stdout}`);
    }
  });

  test('become 99 masked rows and one quarantined record, and nothing stays in SQS', async () => {
    ids = await deployment.send(bodies);
    const { code, rows, stderr } = await run(['drain']);
    assert.equal(code, 0, stderr);
    assertHas(rows[0], {
      pipeline: PIPELINE,
      trigger: 'drain',
      state: 'succeeded',
      received: 100,
      loaded: 99,
      duplicates: 0,
      quarantined: 1,
      released: 0,
      left: { visible: 0, in_flight: 0, delayed: 0 },
    });
    assert.deepEqual(
      await actual(),
      expected(1),
      'rows as the oracle has them, null locales and 0.60 included',
    );
    const [nulls] = await deployment.query(
      `select count(*) filter (where locale is null)::int as locales,
              count(*) filter (where app_version = '0.60')::int as versions,
              count(*) filter (where create_date between current_date - 1 and current_date)::int as days
         from public.${PIPELINE}`,
    );
    assert.deepEqual(nulls, { locales: 29, versions: 1, days: 99 });
    assert.deepEqual(await deployment.query('select code, path, kind from maskline.quarantine'), [
      { code: 'missing_field', path: 'user_id', kind: 'raw' },
    ]);
    assert.deepEqual(await deployment.depth(), NOTHING);
    assertAddsUp(await deployment.runs());
  });

  test('sent again are other messages, and 99 more rows', async () => {
    await deployment.send(bodies);
    const { code, rows } = await run(['drain', PIPELINE]);
    assert.equal(code, 0);
    assertHas(rows[0], {
      received: 100,
      loaded: 99,
      quarantined: 1,
      duplicates: 0,
    });
    assert.deepEqual(await actual(), expected(2));
  });

  test('redelivered under the same ids change nothing and are counted', async () => {
    await stack.sqs.redeliver(deployment.queue, ids);
    const { code, rows } = await run(['drain']);
    assert.equal(code, 0);
    assertHas(rows[0], {
      state: 'succeeded',
      received: 100,
      loaded: 0,
      duplicates: 100,
      quarantined: 0,
      released: 0,
    });
    assert.deepEqual(await actual(), expected(2));
    assert.equal(await deployment.count('maskline.quarantine'), 2);
    assert.deepEqual(await deployment.depth(), NOTHING);
  });

  test('redelivered to a process whose clock is past midnight, twice even, change nothing', async () => {
    await stack.sqs.redeliver(deployment.queue, ids);
    await stack.sqs.redeliver(deployment.queue, ids.slice(0, 10));
    const { code, rows, stderr } = await run(['drain'], { NODE_OPTIONS: `--import=${TOMORROW}` });
    assert.equal(code, 0, stderr);
    assertHas(rows[0], {
      received: 110,
      loaded: 0,
      duplicates: 110,
      quarantined: 0,
    });
    const startedAt = Date.parse(String(rows[0]?.['started_at']));
    assert.ok(startedAt > Date.now() + 25 * 3_600_000, 'its clock was a day ahead');
    assert.deepEqual(await actual(), expected(2));
    assert.deepEqual(await deployment.depth(), NOTHING);
  });
});

describe('a table made by hand whose app_version is an integer', () => {
  let deployment: Deployment;
  before(async () => {
    deployment = await stack.deployment({
      ddl: `create table public.${PIPELINE} (user_id varchar(128), device_type varchar(32), masked_ip varchar(256),
        masked_device_id varchar(256), locale varchar(32), app_version integer, create_date date)`,
    });
    await deployment.send(bodies);
  });

  const COMPLAINT =
    /app_version of public\.user_logins is integer.*type: version_int.*alter table.*app_version.*migrate plan/s;

  test('is refused before anything is received, with both ways out', async () => {
    const validated = await deployment.cli.run(['validate', '--connect']);
    assert.equal(validated.code, 2);
    const findings = validated.rows.filter((row) => row['severity'] === 'error');
    assert.equal(findings.length, 1, validated.stdout);
    assert.match(String(findings[0]?.['message']), COMPLAINT);

    const drained = await deployment.cli.run(['drain']);
    assert.equal(drained.code, 2);
    assert.match(drained.stderr, COMPLAINT);
    assert.equal(drained.stdout, '');
    assert.deepEqual(await deployment.depth(), { ...NOTHING, visible: 100 });
    assert.deepEqual(await deployment.receiveCounts(), new Array(10).fill(0), 'no message was ever received');
    assert.equal(await deployment.count('maskline.runs'), 0);
  });

  test('migrate plan prints the statement that would mend it, and runs nothing', async () => {
    const { code, stdout } = await deployment.cli.run(['migrate', 'plan']);
    assert.equal(code, 0);
    assert.match(
      stdout,
      /^alter table "public"\."user_logins" alter column "app_version" type varchar\(32\) using/,
    );
    const [column] = await deployment.query(
      `select data_type from information_schema.columns where table_name = '${PIPELINE}' and column_name = 'app_version'`,
    );
    assert.deepEqual(column, { data_type: 'integer' });
  });

  test('is loaded under type: version_int', async () => {
    deployment.configurePipeline({
      columns: { ...LOGIN_COLUMNS, app_version: { from: 'app_version', type: 'version_int' } },
    });
    const { code, rows, stderr } = await deployment.cli.run(['drain']);
    assert.equal(code, 0, stderr);
    assertHas(rows[0], { received: 100, loaded: 99, quarantined: 1 });
    const versions = await deployment.query(
      `select user_id, app_version from public.${PIPELINE} order by user_id`,
    );
    const expected = logins
      .map(({ user_id, app_version }) => {
        const [major = 0, minor = 0, patch = 0] = app_version.split('.').map(Number);
        return { user_id, app_version: major * 1_000_000 + minor * 1_000 + patch };
      })
      .sort((a, b) => (a.user_id < b.user_id ? -1 : 1));
    assert.deepEqual(versions, expected);
    assert.ok(
      versions.some((row) => row['app_version'] === 60_000),
      '0.60',
    );
  });
});
