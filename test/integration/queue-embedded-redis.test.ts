import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, afterEach, beforeEach, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import { startRedis } from '../../src/embedded/redis.js';
import { eventually } from '../support/queue.js';

let dir = '';

async function ask<T>(url: string, work: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url);
  try {
    return await work(client);
  } finally {
    client.disconnect();
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Starts a Redis in `dir` from a process of its own, which then goes on until it is killed. */
async function startElsewhere(t: TestContext): Promise<{
  readonly owner: number;
  readonly pid: number;
  kill(): Promise<void>;
}> {
  const source = new URL('../../src/embedded/redis.js', import.meta.url);
  const script = `const { startRedis } = await import(${JSON.stringify(source.href)});
    const server = await startRedis({ dir: process.argv[1] });
    process.stdout.write(String(server.pid));
    setInterval(() => undefined, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const data: readonly unknown[] = await once(child.stdout, 'data');
  return {
    owner: child.pid ?? 0,
    pid: Number(data[0]),
    kill: async () => {
      const died = once(child, 'exit');
      child.kill('SIGKILL');
      await died;
    },
  };
}

describe('a private Redis', () => {
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'maskline-embedded-'));
  });

  afterEach(() => rm(dir, { recursive: true, force: true }));

  test('listens on the loopback address only, evicts nothing, and is gone after stop', async (t) => {
    const server = await startRedis({ dir });
    t.after(() => server.stop());
    const settings = await ask(server.url, async (client) => [
      await client.config('GET', 'bind'),
      await client.config('GET', 'maxmemory-policy'),
      await client.config('GET', 'save'),
    ]);
    assert.deepEqual(settings, [
      ['bind', '127.0.0.1'],
      ['maxmemory-policy', 'noeviction'],
      ['save', ''],
    ]);
    const { pid } = server;
    await server.stop();
    await server.stop();
    assert.equal(isAlive(pid), false);
  });

  test('with an append-only file its data outlives SIGKILL, on the same port', async (t) => {
    const server = await startRedis({ dir, appendOnly: true });
    t.after(() => server.stop());
    const { pid, url } = server;
    await ask(url, (client) => client.set('key', 'value'));
    await server.restart();
    assert.notEqual(server.pid, pid);
    assert.equal(server.url, url);
    assert.equal(await ask(url, (client) => client.get('key')), 'value');
    await server.stop();
  });

  test('what a killed process left behind is ended at the next start', async (t) => {
    const left = await startElsewhere(t);
    await left.kill();
    assert.equal(isAlive(left.pid), true);
    const server = await startRedis({ dir });
    t.after(() => server.stop());
    await eventually(
      async () => isAlive(left.pid),
      (alive) => !alive,
    );
    await server.stop();
  });

  test('what a living process uses is left alone', async (t) => {
    const other = await startElsewhere(t);
    await assert.rejects(startRedis({ dir }), {
      code: 'usage',
      message: new RegExp(`process ${other.owner}`),
    });
    assert.equal(isAlive(other.pid), true);
    await other.kill();
    const next = await startRedis({ dir });
    await next.stop();
  });

  test('a pid that now belongs to something else is left alone', async (t) => {
    const innocent = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)'], {
      stdio: 'ignore',
    });
    await once(innocent, 'spawn');
    await writeFile(join(dir, 'redis.pid'), `${innocent.pid} 6379 ${innocent.pid}\n`);
    const server = await startRedis({ dir });
    t.after(() => server.stop());
    assert.equal(isAlive(innocent.pid ?? 0), true);
    await server.stop();
    const died = once(innocent, 'exit');
    innocent.kill();
    await died;
  });

  test('one that cannot start says where to look', async () => {
    await assert.rejects(startRedis({ dir, settings: { 'no-such-setting': '1' } }), {
      code: 'redis_unavailable',
      message: /redis\.log/,
    });
    assert.match(await readFile(join(dir, 'redis.log'), 'utf8'), /no-such-setting/);
  });
});
