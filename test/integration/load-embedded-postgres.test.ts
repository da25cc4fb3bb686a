import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { reapOrphans, startPostgres } from '../../src/embedded/postgres.js';
import { rowsOf, withConnection } from '../support/postgres.js';

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'maskline-embedded-'));
  await chmod(root, 0o755);
});
after(() => rm(root, { recursive: true, force: true }));

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** True while a process of that pid runs: a zombie that nobody waits for does not. */
async function runs(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  if (status !== '') return !/\) Z /.test(status);
  try {
    return process.platform !== 'linux' && process.kill(pid, 0);
  } catch {
    return false;
  }
}

test('it starts in an empty directory, keeps its data over stop and start, and ends with its files gone if temporary', async () => {
  const dir = join(root, 'kept');
  const first = await startPostgres({ dir, durable: false });
  await rowsOf(first.url, 'create table t as select 7 as n');
  await first.stop();
  await first.stop();
  assert.equal(await runs(first.pid), false);
  const second = await startPostgres({ dir, durable: false, temporary: true });
  assert.deepEqual(await rowsOf(second.url, 'select n from t'), [{ n: 7 }]);
  await second.stop();
  assert.equal(await exists(dir), false);
});

test('only a password opens it, only from this machine, and no file of it is open to others', async () => {
  const server = await startPostgres({ dir: join(root, 'private'), durable: false, temporary: true });
  const wrong = new URL(server.url);
  wrong.password = 'guess';
  await assert.rejects(rowsOf(wrong.href, 'select 1'), { code: '28P01' });
  const [shown] = await rowsOf(
    server.url,
    `select current_setting('listen_addresses') as l, current_setting('unix_socket_directories') as s`,
  );
  assert.deepEqual(shown, { l: '127.0.0.1', s: '' });
  assert.equal((await stat(join(server.dir, 'password'))).mode & 0o077, 0);
  assert.equal((await stat(join(server.dir, 'data'))).mode & 0o077, 0);
  await server.stop();
});

test('settings and port are as asked for; fsync is off only when durability is given up', async () => {
  for (const durable of [true, false]) {
    const server = await startPostgres({
      dir: join(root, `set${String(durable)}`),
      durable,
      temporary: true,
      settings: { max_connections: '17' },
    });
    const [row] = await rowsOf(
      server.url,
      `select current_setting('max_connections') as m, current_setting('fsync') as f`,
    );
    assert.deepEqual(row, { m: '17', f: durable ? 'on' : 'off' });
    await server.stop();
  }
});

test('a restart keeps port and data; an immediate one is a crash that loses nothing committed', async () => {
  const server = await startPostgres({ dir: join(root, 'restart'), durable: false, temporary: true });
  await rowsOf(server.url, 'create table t (n integer)');
  for (const mode of ['fast', 'immediate'] as const) {
    const { pid, url } = server;
    await withConnection(url, async (client) => {
      const cut = new Promise<void>((resolve) => client.once('end', resolve));
      await client.query('insert into t values (1)');
      await server.restart({ mode });
      await cut;
    });
    assert.equal(server.url, url);
    assert.notEqual(server.pid, pid);
  }
  assert.deepEqual(await rowsOf(server.url, 'select count(*)::int as n from t'), [{ n: 2 }]);
  assert.match(
    await readFile(join(server.dir, 'postgres.log'), 'utf8'),
    /automatic recovery|was not properly shut down/,
  );
  await server.stop();
});

/** A process of its own that starts a server in `dir`, says its pid and then does `then`. */
async function owner(
  dir: string,
  then: string,
): Promise<{ readonly child: ChildProcess; readonly postgresPid: number }> {
  const module = new URL('../../src/embedded/postgres.js', import.meta.url).href;
  const script = `
    const { startPostgres } = await import(${JSON.stringify(module)});
    const server = await startPostgres({ dir: ${JSON.stringify(dir)}, durable: false, temporary: true });
    process.stdout.write(String(server.pid) + '\\n');
    ${then}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [output] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, postgresPid: Number(String(output)) };
}

test('a server whose owner was killed is stopped and removed by the next start; that of a living owner is not touched', async () => {
  const orphaned = join(root, 'orphans', 'dead');
  const dead = await owner(orphaned, '');
  const alive = await startPostgres({ dir: join(root, 'orphans', 'alive'), durable: false, temporary: true });
  dead.child.kill('SIGKILL');
  await once(dead.child, 'exit');
  assert.equal(await runs(dead.postgresPid), true);
  await assert.rejects(startPostgres({ dir: alive.dir }), { code: 'usage' });
  assert.deepEqual(await reapOrphans(join(root, 'orphans')), [orphaned]);
  assert.equal(await runs(dead.postgresPid), false);
  assert.equal(await exists(orphaned), false);
  assert.deepEqual(await rowsOf(alive.url, 'select 1 as n'), [{ n: 1 }]);
  assert.deepEqual(await reapOrphans(join(root, 'orphans')), []);
  await alive.stop();
});

test('a process that exits without stopping its server tells it to shut down', async () => {
  const { child, postgresPid } = await owner(join(root, 'exits'), 'process.exit(3)');
  const [code] = (await once(child, 'exit')) as [number];
  assert.equal(code, 3);
  while (await runs(postgresPid));
  await reapOrphans(root);
});

test('Ctrl-C reaches this process and not the server', async () => {
  const { child, postgresPid } = await owner(
    join(root, 'group'),
    `process.on('SIGINT', () => {}); setInterval(() => {}, 1e6);`,
  );
  const group = async (pid: number): Promise<string | undefined> =>
    (await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ')  - - 0')).split(') ')[1]?.split(' ')[2];
  if (process.platform === 'linux') assert.equal(await group(postgresPid), String(postgresPid));
  child.kill('SIGKILL');
  await once(child, 'exit');
  await reapOrphans(root);
  assert.equal(await runs(postgresPid), false);
});

test('a pid that has come to belong to somebody else is never killed', async () => {
  const dir = join(root, 'recycled');
  await mkdir(join(dir, 'data'), { recursive: true });
  const bystander = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)'], { stdio: 'ignore' });
  await once(bystander, 'spawn');
  await writeFile(join(dir, 'data', 'postmaster.pid'), `${bystander.pid}\n${join(dir, 'data')}\n`);
  await writeFile(
    join(dir, 'owner.json'),
    JSON.stringify({ ownerPid: process.pid, ownerStarted: 'another', temporary: true }),
  );
  assert.deepEqual(await reapOrphans(dir), [dir]);
  assert.equal(await runs(bystander.pid ?? 0), true);
  assert.equal(await exists(dir), false);
  bystander.kill();
  await once(bystander, 'exit');
});

test("a server that can't start says where its log is, and leaves it there", async () => {
  const dir = join(root, 'broken');
  await assert.rejects(startPostgres({ dir, durable: false, settings: { max_connections: 'none' } }), {
    code: 'postgres_unavailable',
    message: /postgres\.log there says why/,
  });
  assert.match(await readFile(join(dir, 'postgres.log'), 'utf8'), /max_connections/);
  assert.equal(await exists(join(dir, 'owner.json')), false);
});
