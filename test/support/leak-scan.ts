// What the servers of a test hold, to be searched for values that must not be there.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { inflatedParts } from '../../src/proof/leak-scan.js';
import type { Json } from './cli.js';

/** All that a Redis holds: each key with its value, the log of slow commands, and the file that SAVE writes. */
export async function redisContents(url: string, dir: string): Promise<[string, string | Buffer][]> {
  const redis = new Redis(url);
  try {
    const contents: [string, string | Buffer][] = [];
    for (const key of await redis.keys('*')) {
      const value = await valueOf(redis, key);
      if (value === null) continue;
      contents.push([`Redis key ${key}`, `${key}\n${value}`]);
      for (const inflated of inflatedParts(value)) contents.push([`Redis key ${key}, inflated`, inflated]);
    }
    contents.push(['Redis SLOWLOG', JSON.stringify(await redis.call('SLOWLOG', 'GET', '1000'))]);
    // Uncompressed, or a value could hide behind the compression.
    await redis.config('SET', 'rdbcompression', 'no');
    await redis.save();
    contents.push(['Redis dump.rdb', readFileSync(join(dir, 'dump.rdb'))]);
    return contents;
  } finally {
    redis.disconnect();
  }
}

/** A key's whole value as JSON, or null for a key that has expired since it was listed. */
async function valueOf(redis: Redis, key: string): Promise<string | null> {
  const type = await redis.type(key);
  if (type === 'none') return null;
  const read: { readonly [type: string]: () => Promise<unknown> } = {
    string: () => redis.get(key),
    hash: () => redis.hgetall(key),
    list: () => redis.lrange(key, 0, -1),
    set: () => redis.smembers(key),
    zset: () => redis.call('ZRANGE', key, '0', '-1', 'WITHSCORES'),
    stream: () => redis.xrange(key, '-', '+'),
  };
  const value = read[type];
  if (!value) throw new TypeError(`${key} is of the type ${type}, which this can't read`);
  return JSON.stringify(await value());
}

/** Every row of every table of a database, as text, but for the columns that are named `schema.table.column`. */
export async function postgresContents(
  query: (sql: string) => Promise<readonly Json[]>,
  without: readonly string[],
): Promise<[string, string][]> {
  const tables = await query(
    `select c.oid::regclass::text as name, n.nspname || '.' || c.relname as plain,
            array_agg(a.attname::text order by a.attnum) as columns
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
       join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      where c.relkind in ('r', 'm') and n.nspname !~ '^pg_|^information_schema$'
      group by c.oid, n.nspname, c.relname`,
  );
  const contents: [string, string][] = [];
  for (const { name, plain, columns } of tables) {
    const searched = (columns as string[]).filter(
      (column) => !without.includes(`${String(plain)}.${column}`),
    );
    for (const column of searched) {
      const rows = await query(`select string_agg("${column}"::text, E'\\n') as text from ${String(name)}`);
      contents.push([`table ${String(plain)}.${column}`, JSON.stringify(rows[0]?.['text'])]);
    }
  }
  return contents;
}
