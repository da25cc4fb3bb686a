import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type EmbeddedRedis,
  INSTALL_REDIS,
  type RedisOptions,
  findRedisServer,
  startRedis,
} from '../../src/embedded/redis.js';

/** A Redis of this test's own, in a directory that goes with it. Fails, never skips, where there is none. */
export async function startTestRedis(
  options: Omit<RedisOptions, 'dir'> = {},
): Promise<EmbeddedRedis & { readonly dir: string }> {
  assert.notEqual(findRedisServer(), null, `these tests need a Redis: ${INSTALL_REDIS}`);
  const dir = await mkdtemp(join(tmpdir(), 'maskline-redis-'));
  const server = await startRedis({ ...options, dir });
  return {
    dir,
    get url() {
      return server.url;
    },
    get port() {
      return server.port;
    },
    get pid() {
      return server.pid;
    },
    kill: () => server.kill(),
    restart: () => server.restart(),
    stop: async () => {
      await server.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
