import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import { startPostgres } from '../../src/embedded/postgres.js';
import { Cli, type CliProcess, type CliResult, assertHas } from '../support/cli.js';
import { rowsOf } from '../support/postgres.js';
import { eventually } from '../support/queue.js';

const ROWS = 2_000;
const isRoot = process.getuid?.() === 0;
/** Nobody, as every Linux distribution has it. */
const NOBODY = { uid: 65_534, gid: 65_534 };

/** Everything of these demos is below it. */
const root = mkdtempSync(join(tmpdir(), 'maskline-demos-'));
chmodSync(root, 0o755);
after(() => rmSync(root, { recursive: true, force: true }));

let count = 0;
let home: string;
let temporary: string;
let cli: Cli;
beforeEach(() => {
  count += 1;
  home = join(root, `home-${count}`);
  temporary = join(root, `tmp-${count}`);
  for (const directory of [home, temporary]) mkdirSync(directory, { mode: 0o755 });
  cli = new Cli(home, { TMPDIR: temporary });
});
afterEach(() => cli.stopAll());

/** Ports of the servers that a demo has named so far. */
function ports({ stderr }: Pick<CliProcess, 'stderr'>): readonly number[] {
  return [...stderr.matchAll(/on port (\d+)/g)].map((match) => Number(match[1]));
}

async function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

async function openPorts(of: readonly number[]): Promise<readonly number[]> {
  const open = await Promise.all(of.map(isOpen));
  return of.filter((_, i) => open[i]);
}

/** No server of it is left, and no directory of its own. */
async function assertGone(process: Pick<CliProcess, 'stderr'>): Promise<void> {
  assert.ok(ports(process).length >= 2, `it named its servers: ${process.stderr}`);
  assert.deepEqual(await openPorts(ports(process)), [], 'a server goes on');
  const left = readdirSync(temporary).filter((name) => name.startsWith('maskline-demo-'));
  assert.deepEqual(
    left.flatMap((name) => readdirSync(join(temporary, name))),
    [],
    'a directory was left',
  );
}

/** Resolves when what it prints for people matches. */
async function said(process: CliProcess, text: RegExp): Promise<void> {
  await eventually(
    async () => process.stderr,
    (stderr) => text.test(stderr) || !process.isRunning,
    60_000,
  );
  assert.match(process.stderr, text);
  assert.ok(process.isRunning, 'it ended before');
}

function assertReport(
  result: CliResult,
  rows: number,
  bad: number,
  duplicates: number,
  backend: string,
): void {
  assert.equal(result.code, 0, result.stderr);
  assert.equal(result.rows.length, 1, 'one JSON object on one line');
  assertHas(result.rows[0], {
    pipeline: 'user_logins',
    state: 'succeeded',
    received: rows + bad + duplicates,
    loaded: rows,
    quarantined: bad,
    duplicates,
    released: 0,
    queue_backend: backend,
    table: 'public.user_logins',
  });
  assert.ok(Number(result.rows[0]?.['seconds']) > 0);
}

interface Pair {
  readonly before: Readonly<{ [name: string]: string | null }>;
  readonly after: Readonly<{ [name: string]: string | null }>;
}

describe('demo', () => {
  test('loads what it sends, shows it before and after, and leaves nothing behind', async () => {
    const result = await cli.run(['demo', '--rows', String(ROWS), '--json']);
    assertReport(result, ROWS, 20, 20, 'redis');
    const pairs = result.rows[0]?.['before_after'] as readonly Pair[];
    assert.ok(pairs.length > 0);
    for (const { before, after: row } of pairs) {
      for (const kept of ['user_id', 'device_type', 'locale', 'app_version'])
        assert.equal(row[kept], before[kept]);
      for (const masked of ['masked_ip', 'masked_device_id'])
        assert.match(String(row[masked]), /^s1\.[\w-]{22,}$/);
      assert.ok(!JSON.stringify(row).includes(String(before['ip'])));
      assert.ok(!JSON.stringify(row).includes(String(before['device_id'])));
    }
    await assertGone(result);
    assert.deepEqual(readdirSync(home), [], 'nothing in the working directory either');
  });

  test('sends as many bad messages and repeats as it is told, also none or more bad ones than good', async () => {
    const [many, none] = await Promise.all([
      cli.run(['demo', '--rows', '100', '--bad', '300', '--duplicates', '100']),
      cli.run(['demo', '--rows', '1', '--bad', '0', '--duplicates', '0']),
    ]);
    assertReport(many, 100, 300, 100, 'redis');
    assertReport(none, 1, 0, 0, 'redis');
    await assertGone(many);
    await assertGone(none);
  });

  test('without a redis-server says so in one line, and uses BullMQ on Postgres', async () => {
    const result = await cli.run(['demo', '--rows', String(ROWS)], { env: { PATH: home } });
    assertReport(result, ROWS, 20, 20, 'postgres');
    assert.equal(
      result.stderr.match(/^.*no redis-server.*BullMQ on Postgres.*$/gm)?.length,
      1,
      result.stderr,
    );
    await assertGone(result);
  });

  test('works as a user without any rights', async () => {
    const user = isRoot ? NOBODY : {};
    if (isRoot) for (const directory of [home, temporary]) chownSync(directory, NOBODY.uid, NOBODY.gid);
    const result = await cli.run(['demo', '--rows', '500'], user);
    assertReport(result, 500, 5, 5, 'redis');
    await assertGone(result);
  });

  test('with --stay stays up with its pages until Ctrl-C, which is no failure', async () => {
    const demo = cli.spawn(['demo', '--rows', '500', '--stay', '--port', '0']);
    await eventually(
      async () => demo.stdout,
      (stdout) => stdout.includes('\n') || !demo.isRunning,
      60_000,
    );
    const all = ports(demo);
    assert.deepEqual(await openPorts(all), all, 'its servers are up');
    demo.signal('SIGINT');
    const result = await demo.ended;
    assertReport(result, 500, 5, 5, 'redis');
    await assertGone(result);
  });
});

describe('a demo that is cut short', () => {
  test('by Ctrl-C cleans up, in the middle and while its servers start', async () => {
    const middle = cli.spawn(['demo', '--rows', '20000']);
    await said(middle, /\d rows are in/);
    middle.signal('SIGINT');
    const result = await middle.ended;
    assert.equal(result.code, 1, result.stderr);
    assertHas(result.rows[0], { state: 'canceled' });
    await assertGone(result);

    const early = cli.spawn(['demo']);
    await eventually(
      async () =>
        readdirSync(temporary).flatMap((name) =>
          readdirSync(join(temporary, name), { recursive: true, encoding: 'utf8' }),
        ),
      (names) => names.some((name) => name.endsWith('postgres/data')),
    );
    early.signal('SIGINT');
    assert.equal((await early.ended).code, 1, early.stderr);
    assert.deepEqual(await openPorts(ports(early)), []);
    const left = readdirSync(temporary).filter((name) => name.startsWith('maskline-demo-'));
    assert.deepEqual(
      left.flatMap((name) => readdirSync(join(temporary, name))),
      [],
    );
  });

  test('by SIGKILL is cleaned up by the next one', async () => {
    const killed = cli.spawn(['demo', '--rows', '20000']);
    await said(killed, /\d rows are in/);
    await killed.kill();
    const orphans = await openPorts(ports(killed));
    assert.ok(orphans.length >= 2, 'Postgres and Redis go on without it');
    const next = await cli.run(['demo', '--rows', '100']);
    assertReport(next, 100, 1, 1, 'redis');
    await assertGone(killed);
    await assertGone(next);
  });
});

describe('demo --keep', () => {
  for (const [place, mode] of [
    ['', 0o755],
    [', also below a folder that nobody else may enter', 0o700],
  ] as const) {
    test(`leaves files and database in the directory, for more${place}`, async () => {
      const above = join(root, `above-${mode}`);
      mkdirSync(above, { mode });
      const dir = join(above, 'kept');
      const first = await cli.run(['demo', '--rows', '500', '--keep', dir]);
      assertReport(first, 500, 5, 5, 'redis');
      assert.deepEqual(await openPorts(ports(first)), []);
      for (const file of ['maskline.yaml', 'maskline.keyring.json', '.env'])
        assert.ok(existsSync(join(dir, file)), file);
      for (const secret of ['.env', 'maskline.keyring.json', 'kek']) {
        assert.equal(statSync(join(dir, secret)).mode & 0o077, 0, `${secret} is for its owner only`);
      }
      const env = Object.fromEntries(
        readFileSync(join(dir, '.env'), 'utf8')
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
      );
      const checked = await cli.run(['-c', join(dir, 'maskline.yaml'), 'keys', 'check'], { env });
      assert.equal(checked.code, 0, checked.stderr);

      const second = await cli.run(['demo', '--rows', '100', '--keep', dir]);
      assertReport(second, 100, 1, 1, 'redis');
      assert.equal(statSync(above).mode & 0o777, mode, 'the folder above stays as it was');
      // The database is that of both.
      const database = realpathSync(join(dir, 'postgres'));
      const postgres = await startPostgres({ dir: database });
      try {
        const rows = await rowsOf(postgres.url, 'select count(*)::int as n from public.user_logins');
        assert.deepEqual(rows, [{ n: 600 }]);
      } finally {
        await postgres.stop();
        rmSync(database, { recursive: true, force: true });
      }
    });
  }
});
