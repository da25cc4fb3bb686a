import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import type { EmbeddedRedis } from '../../src/embedded/redis.js';
import { checkRedis } from '../../src/queue/bullmq-check.js';
import { startTestRedis } from '../support/redis.js';

let server: EmbeddedRedis;
let admin: Redis;

const as = (user: string, password: string): string => server.url.replace('//', `//${user}:${password}@`);

describe('the check of a Redis', () => {
  before(async () => {
    server = await startTestRedis();
    admin = new Redis(server.url);
  });

  after(async () => {
    admin.disconnect();
    await server.stop();
  });

  test('a fit one is reported as it is', async () => {
    await admin.config('SET', 'maxmemory', String(64 * 1024 * 1024));
    const report = await checkRedis({ url: server.url });
    assert.match(report.version ?? '', /^\d+\.\d+/);
    assert.equal(report.maxmemoryPolicy, 'noeviction');
    assert.equal(report.maxmemory, 64 * 1024 * 1024);
    assert.ok((report.usedMemory ?? 0) > 0);
    assert.equal(report.appendOnly, false);
    assert.match(report.warnings.join(), /append-only/);
  });

  for (const policy of ['allkeys-lru', 'volatile-ttl']) {
    test(`the policy ${policy} is refused, with the remedy`, async () => {
      await admin.config('SET', 'maxmemory-policy', policy);
      await assert.rejects(checkRedis({ url: server.url }), {
        code: 'queue_unfit',
        message: new RegExp(`${policy}.*CONFIG SET maxmemory-policy noeviction`),
      });
      await admin.config('SET', 'maxmemory-policy', 'noeviction');
    });
  }

  test('a user who may not ask gets warnings, not a refusal', async () => {
    await admin.call('ACL', 'SETUSER', 'shy', 'on', '>secret', '+@all', '-config', '-info');
    const report = await checkRedis({ url: as('shy', 'secret') });
    assert.equal(report.maxmemoryPolicy, null);
    assert.match(report.warnings.join(), /noeviction.*6\.2/);
  });

  test('a user who may not CONFIG is judged by what INFO says', async () => {
    await admin.call('ACL', 'SETUSER', 'worker', 'on', '>secret', '+@all', '-config');
    assert.equal((await checkRedis({ url: as('worker', 'secret') })).maxmemoryPolicy, 'noeviction');
    await admin.config('SET', 'maxmemory-policy', 'allkeys-random');
    await assert.rejects(checkRedis({ url: as('worker', 'secret') }), { code: 'queue_unfit' });
    await admin.config('SET', 'maxmemory-policy', 'noeviction');
  });

  test('a wrong password is a missing right, and is not printed', async () => {
    await assert.rejects(
      checkRedis({ url: as('worker', 'wr0ng-passw0rd') }),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'permission_denied');
        assert.ok(!error.message.includes('wr0ng-passw0rd'));
        return true;
      },
    );
  });

  test('one that is away is reported at once', async () => {
    const away = await startTestRedis();
    await away.stop();
    const from = performance.now();
    await assert.rejects(checkRedis({ url: away.url }), {
      code: 'redis_unavailable',
      message: /ECONNREFUSED/,
    });
    assert.ok(performance.now() - from < 2_000);
  });

  test('what is no URL is a mistake in the configuration, and is not printed', async () => {
    await assert.rejects(checkRedis({ url: 's3cret@nowhere' }), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'config_invalid');
      assert.ok(!error.message.includes('s3cret'));
      return true;
    });
  });
});
