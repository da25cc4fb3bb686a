import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { assertHas } from '../support/cli.js';
import { openKeyringOracle } from '../support/oracle.js';
import { type Deployment, LOGIN_COLUMNS, PIPELINE, type Stack, startStack } from '../support/stack.js';

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

/** A port of this machine where nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
}

describe('the command line', () => {
  let deployment: Deployment;
  before(async () => {
    deployment = await stack.deployment();
  });

  test('a reader that has seen enough is no failure', async () => {
    const line = 'set -o pipefail; "$0" "$1" schema | head -c 1';
    const { stdout, stderr } = await promisify(execFile)('bash', ['-c', line, process.execPath, MAIN]);
    assert.deepEqual([stdout, stderr], ['{', '']);
  });

  test('prints its version and its help on stdout, and ends with 0', async () => {
    const packageFile = new URL('../../../package.json', import.meta.url);
    const { version } = JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string };
    const asked = await deployment.cli.run(['--version']);
    assert.deepEqual([asked.code, asked.stdout, asked.stderr], [0, `${version}\n`, '']);
    const help = await deployment.cli.run(['--help']);
    assert.equal(help.code, 0);
    for (const command of ['demo', 'init', 'validate', 'migrate', 'keys', 'run', 'drain', 'runs', 'schema']) {
      assert.match(help.stdout, new RegExp(`^  ${command} `, 'm'));
    }
  });

  const misused: readonly (readonly [readonly string[], RegExp])[] = [
    [['frobnicate'], /unknown command/],
    [['drain', '--frobnicate'], /unknown option/],
    [['drain', '--max', 'many'], /whole number/],
    [['drain', '--timeout', 'soon'], /--timeout must be a duration/],
    [['drain', 'no_such_pipeline'], /no pipeline no_such_pipeline in .*it has user_logins/],
    [['-p', 'no_such_pipeline', 'drain'], /no pipeline no_such_pipeline/],
    [['run', 'everything'], /role must be one of ingest, transform, load, admin, all/],
    [['--log-level', 'loud', 'drain'], /log level must be one of/],
    [['runs', 'show'], /missing required argument/],
    [['demo', '--rows', '0'], /--rows of at least 1/],
  ];
  for (const [args, message] of misused) {
    test(`ends with 2 and says why: ${args.join(' ')}`, async () => {
      const { code, stdout, stderr } = await deployment.cli.run(args);
      assert.equal(code, 2, stderr);
      assert.match(stderr, message);
      assert.equal(stdout, '');
    });
  }

  test('ends with 2 and names the file when there is no maskline.yaml', async () => {
    for (const args of [['drain'], ['run'], ['validate'], ['migrate'], ['runs', 'list']]) {
      const { code, stderr, stdout } = await deployment.cli.run(['-c', 'absent.yaml', ...args]);
      assert.equal(code, 2, args.join(' '));
      assert.match(stderr + stdout, /absent\.yaml/);
    }
  });

  test('reports everything that is wrong with the file at once, each by line and column, and ends with 2', async () => {
    const file = join(deployment.dir, 'wrong.yaml');
    const lines = [
      'version: 1',
      'database: { url: "${DATABASE_URL}" }',
      'queu: { url: memory:// }',
      'pipelines:',
      '  p:',
      '    columns:',
      '      a: { from: a, mask: { metod: siv } }',
      '      b: { from: b, type: integr }',
      '    batch: { max_messages: 0 }',
      '    target: { table: t }',
    ];
    writeFileSync(file, `${lines.join('\n')}\n`);
    const at = (line: number, part: string): string =>
      `${file}:${line}:${(lines[line - 1] ?? '').indexOf(part) + 1}`;
    const { code, stderr } = await deployment.cli.run(['-c', file, 'drain']);
    assert.equal(code, 2);
    for (const place of [at(3, 'queu'), at(7, 'metod'), at(8, 'integr'), at(9, '0')]) {
      assert.ok(stderr.includes(place), `${place} in ${stderr}`);
    }
    assert.match(stderr, /did you mean "queue"/);
    assert.match(stderr, /did you mean "method"/);
    const { code: validated, rows } = await deployment.cli.run(['-c', file, 'validate']);
    assert.equal(validated, 2);
    assert.equal(rows.filter((row) => row['severity'] === 'error').length >= 4, true);
  });
});

describe('init and schema', () => {
  test('write a file that validate takes, and overwrite nothing', async () => {
    const deployment = await stack.deployment();
    rmSync(deployment.configFile);
    const first = await deployment.cli.run(['init', '--table', 'public.visits']);
    assert.equal(first.code, 0, first.stderr);
    const written = readFileSync(deployment.configFile, 'utf8');
    assert.ok(existsSync(join(deployment.dir, '.env.example')));
    assert.equal((await deployment.cli.run(['validate', '--strict'])).code, 0);
    const second = await deployment.cli.run(['init']);
    assert.equal(second.code, 2);
    assert.match(second.stderr, /maskline\.yaml.* exists/);
    assert.equal(readFileSync(deployment.configFile, 'utf8'), written);
    const { code, stdout } = await deployment.cli.run(['schema']);
    assert.equal(code, 0);
    assert.equal((JSON.parse(stdout) as { title: string }).title, 'maskline.yaml');
  });
});

describe('keys', () => {
  const kek = randomBytes(32).toString('base64');

  test('are not made without a key-encryption key: it ends with 2 and the command that makes one', async () => {
    const deployment = await stack.deployment({ keys: false, file: { keyring: {} } });
    const { code, stderr } = await deployment.cli.run(['keys', 'init']);
    assert.equal(code, 2);
    assert.match(stderr, /^openssl rand -base64 32$/m);
    assert.ok(!existsSync(deployment.keyringFile));
    for (const MASKLINE_KEK of ['short', Buffer.alloc(31).toString('base64'), `${'A'.repeat(43)}!`]) {
      const wrong = await deployment.cli.run(['keys', 'init'], { env: { MASKLINE_KEK } });
      assert.equal(wrong.code, 2);
      assert.ok(!wrong.stderr.includes(MASKLINE_KEK), 'it quotes the key');
    }
    // Nothing that receives starts without one either.
    const drained = await deployment.cli.run(['drain']);
    assert.equal(drained.code, 2);
    assert.match(drained.stderr, /^openssl rand -base64 32$/m);
    const unkeyed = await deployment.cli.run(['drain'], { env: { MASKLINE_KEK: kek } });
    assert.equal(unkeyed.code, 2);
    assert.match(unkeyed.stderr, /maskline keys init/);
  });

  test('are made once, need no maskline.yaml, and open with their key-encryption key only', async () => {
    const deployment = await stack.deployment({ keys: false });
    rmSync(deployment.configFile);
    const run = (args: readonly string[], MASKLINE_KEK?: string) =>
      deployment.cli.run(args, { env: { MASKLINE_KEK } });
    const made = await run(['keys', 'init'], kek);
    assert.equal(made.code, 0, made.stderr);
    assertHas(made.rows[0], { keyring: './maskline.keyring.json', primary_kid: 1 });
    assert.equal(statSync(deployment.keyringFile).mode & 0o777, 0o600);
    const keyring = readFileSync(deployment.keyringFile, 'utf8');
    assert.deepEqual([...openKeyringOracle(keyring, kek).keys()], [1], 'another implementation opens it');

    const again = await run(['keys', 'init'], kek);
    assert.equal(again.code, 2);
    assert.match(again.stderr, /maskline\.keyring\.json exists/);
    assert.equal(readFileSync(deployment.keyringFile, 'utf8'), keyring);

    const listed = await run(['keys', 'list']);
    assert.equal(listed.code, 0);
    assert.deepEqual(
      listed.rows.map(({ kid, state }) => ({ kid, state })),
      [{ kid: 1, state: 'primary' }],
    );
    const checked = await run(['keys', 'check'], kek);
    assert.equal(checked.code, 0);
    assertHas(checked.rows[0], { primary_kid: 1, kids: [1], ok: true });
    const wrong = await run(['keys', 'check'], randomBytes(32).toString('base64'));
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /key-encryption key|KEK/);
  });

  test('can have their key-encryption key made in a file, for its owner only', async () => {
    const deployment = await stack.deployment({ keys: false });
    const { code, stderr } = await deployment.cli.run(['keys', 'init', '--kek-file', deployment.kekFile]);
    assert.equal(code, 0, stderr);
    assert.equal(statSync(deployment.kekFile).mode & 0o777, 0o600);
    assert.equal((await deployment.cli.run(['keys', 'check'])).code, 0);
    assert.equal(deployment.masters().size, 1);
  });
});

describe('migrate', () => {
  test('prints what it would do, does it once, and finds nothing to do the second time', async () => {
    const deployment = await stack.deployment({
      ddl: null,
      pipeline: { target: { table: `public.${PIPELINE}`, create: true } },
    });
    const missing = await deployment.cli.run(['drain']);
    assert.equal(missing.code, 2);
    assert.match(missing.stderr, /maskline migrate/);

    const dry = await deployment.cli.run(['migrate', '--dry-run']);
    assert.equal(dry.code, 0, dry.stderr);
    assert.match(dry.stdout, /create table maskline\.ledger/);
    assert.match(dry.stdout, /create table "public"\."user_logins"/);
    assert.equal(
      await deployment.count(`pg_namespace where nspname = 'maskline'`),
      0,
      'a dry run changes nothing',
    );
    const before = await deployment.cli.run(['migrate', 'status']);
    assert.equal(before.code, 1);
    assert.ok(before.rows.length > 0);
    assert.ok(before.rows.every((row) => row['state'] === 'pending'));

    const first = await deployment.cli.run(['migrate']);
    assert.equal(first.code, 0, first.stderr);
    const { migrations, statements } = first.rows[0] as { migrations: unknown[]; statements: unknown[] };
    assert.deepEqual([migrations.length, statements.length], [before.rows.length, 1]);
    const second = await deployment.cli.run(['migrate', 'up']);
    assert.equal(second.code, 0, second.stderr);
    assertHas(second.rows[0], { migrations: [], partitions: 0, statements: [] });
    const status = await deployment.cli.run(['migrate', 'status']);
    assert.equal(status.code, 0);
    assert.ok(status.rows.every((row) => row['state'] === 'applied'));
    assert.equal((await deployment.cli.run(['validate', '--connect', '--strict'])).code, 0);
  });

  test('may be run by several at once', async () => {
    const deployment = await stack.deployment({
      ddl: null,
      pipeline: { target: { table: `public.${PIPELINE}`, create: true } },
    });
    const all = await Promise.all([1, 2, 3].map(() => deployment.cli.run(['migrate'])));
    assert.deepEqual(
      all.map(({ code }) => code),
      [0, 0, 0],
      all.map(({ stderr }) => stderr).join(),
    );
    assert.equal((await deployment.cli.run(['validate', '--connect'])).code, 0);
  });
});

describe('a start', () => {
  test(
    'ends with 3 and says what is away: Postgres, Redis, or the SQS queue',
    { concurrency: 3 },
    async () => {
      const deployment = await stack.deployment({ file: { startup_timeout: '3s' } });
      const port = await closedPort();
      const away: readonly (readonly [string, { [name: string]: string }, RegExp])[] = [
        [
          'Postgres',
          { DATABASE_URL: `postgres://postgres:secret-word@127.0.0.1:${port}/postgres` },
          /Postgres/,
        ],
        [
          'Redis',
          { REDIS_URL: `redis://:secret-word@127.0.0.1:${port}` },
          new RegExp(`Redis.*127\\.0\\.0\\.1:${port}`),
        ],
        ['SQS', { AWS_ENDPOINT_URL_SQS: `http://127.0.0.1:${port}` }, /SQS/],
        ['the SQS queue', { SQS_QUEUE_URL: 'no-such-queue' }, /no-such-queue/],
      ];
      for (const [what, env, message] of away) {
        const ended = await Promise.all([
          deployment.cli.run(['drain'], { env }),
          deployment.cli.run(['run', 'all'], { env }),
          deployment.cli.run(['validate', '--connect'], { env }),
        ]);
        for (const { code, stderr, stdout } of ended) {
          assert.equal(code, 3, `without ${what}: ${stderr}${stdout}`);
          assert.match(stderr + stdout, message);
          assert.ok(!`${stderr}${stdout}`.includes('secret-word'), 'it quotes a password');
        }
      }
    },
  );

  test('ends with 2 when Redis may drop jobs', async () => {
    const deployment = await stack.deployment();
    const redis = new Redis(stack.redis.url);
    await redis.config('SET', 'maxmemory-policy', 'allkeys-lru');
    try {
      for (const args of [['drain'], ['run', 'transform'], ['validate', '--connect']]) {
        const { code, stderr, stdout } = await deployment.cli.run(args);
        assert.equal(code, 2, args.join(' '));
        assert.match(stderr + stdout, /maxmemory-policy allkeys-lru.*noeviction/);
        assert.doesNotMatch(stderr, /outage_waiting/, 'it waits for something though it has failed');
      }
    } finally {
      await redis.config('SET', 'maxmemory-policy', 'noeviction');
      redis.disconnect();
    }
  });

  test('ends with 2 when the table is missing, or lacks a column', async () => {
    const deployment = await stack.deployment({ ddl: `create table public.${PIPELINE} (user_id text)` });
    const lacking = await deployment.cli.run(['drain']);
    assert.equal(lacking.code, 2);
    for (const column of Object.keys(LOGIN_COLUMNS).filter((name) => name !== 'user_id')) {
      assert.match(lacking.stderr, new RegExp(`column ${column} of public\\.user_logins does not exist`));
    }
    await deployment.query(`drop table public.${PIPELINE}`);
    const missing = await deployment.cli.run(['run', 'load']);
    assert.equal(missing.code, 2);
    assert.match(missing.stderr, /table public\.user_logins does not exist/);
  });

  test('goes on by itself when a dependency comes within the time limit', async () => {
    const deployment = await stack.deployment({ file: { startup_timeout: '60s' } });
    const drain = deployment.cli.spawn(['drain'], { env: { SQS_QUEUE_URL: 'late-queue' } });
    await drain.waitFor('outage_waiting');
    await stack.sqs.createQueue('late-queue');
    const { code, rows, stderr } = await drain.ended;
    assert.equal(code, 0, stderr);
    assertHas(rows[0], { state: 'succeeded', received: 0 });
  });
});
