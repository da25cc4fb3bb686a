// Looks for values where they must not be, also behind the encodings that values usually hide in.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, inflateRawSync, unzipSync } from 'node:zlib';
import { Redis } from 'ioredis';
import type { Json } from './cli.js';

/** A value found where it was looked for. */
export interface Found {
  /** Name of the value. */
  readonly canary: string;
  readonly encoding: string;
  readonly where: string;
}

/** Values to look for, by name; a few must be found, or the search is worth nothing. */
export class LeakScan {
  readonly #needles: readonly { canary: string; encoding: string; bytes: Buffer }[];

  constructor(canaries: Readonly<{ [name: string]: string }>) {
    this.#needles = Object.entries(canaries).flatMap(([canary, value]) =>
      encodings(value).map(([encoding, bytes]) => ({ canary, encoding, bytes })),
    );
  }

  /** Every value that these bytes hold, in any encoding. */
  scan(where: string, content: string | Buffer): readonly Found[] {
    const bytes = typeof content === 'string' ? Buffer.from(content, 'utf8') : content;
    return this.#needles
      .filter((needle) => bytes.includes(needle.bytes))
      .map(({ canary, encoding }) => ({ canary, encoding, where }));
  }

  /** The same over many contents, by name. */
  scanAll(contents: Iterable<readonly [string, string | Buffer]>): readonly Found[] {
    return [...contents].flatMap(([where, content]) => this.scan(where, content));
  }
}

/** A value as it is, and as programs that know nothing of it might have written it. */
function encodings(value: string): readonly (readonly [string, Buffer])[] {
  const bytes = Buffer.from(value, 'utf8');
  const each = (escape: (code: number) => string): string => [...bytes].map(escape).join('');
  const hex = bytes.toString('hex');
  const texts: [string, string][] = [
    ['hex', hex],
    ['HEX', hex.toUpperCase()],
    ['url', encodeURIComponent(value)],
    ['every byte url', each((code) => `%${code.toString(16).padStart(2, '0').toUpperCase()}`)],
    ['json', JSON.stringify(value).slice(1, -1)],
    ['every character json', each((code) => `\\u${code.toString(16).padStart(4, '0')}`)],
    ...[0, 1, 2].flatMap((offset): [string, string][] => {
      const base64 = base64At(bytes, offset);
      return [
        [`base64+${offset}`, base64],
        [`base64url+${offset}`, base64.replaceAll('+', '-').replaceAll('/', '_')],
      ];
    }),
  ];
  return [
    ['clear', bytes],
    ['utf-16', Buffer.from(value, 'utf16le')],
    ...texts.map(([name, text]) => [name, Buffer.from(text, 'utf8')] as const),
  ];
}

/** What base64 makes of the bytes when so many others stand before them: only the characters that depend on nothing else. */
function base64At(bytes: Buffer, offset: number): string {
  const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64');
  const first = Math.ceil((offset * 8) / 6);
  const end = Math.floor(((offset + bytes.length) * 8) / 6);
  return encoded.slice(first, end);
}

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

/** Long enough to hold something, in either alphabet. */
const BASE64 = /[A-Za-z0-9+/_-]{32,}/g;
/** What stands before compressed bytes, such as a nonce, is hardly longer. */
const MAX_PREFIX_BYTES = 32;

/** What comes out of a text's base64 when it is inflated from any of its first bytes on: payloads are deflated before they are sealed. */
export function* inflatedParts(text: string): Generator<Buffer> {
  for (const [encoded] of text.matchAll(BASE64)) {
    const bytes = Buffer.from(encoded, 'base64');
    for (let from = 0; from <= MAX_PREFIX_BYTES; from += 1) {
      for (const inflate of [inflateRawSync, unzipSync]) {
        const inflated = attempt(() =>
          inflate(bytes.subarray(from), { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: 2 ** 24 }),
        );
        if (inflated !== null && inflated.length > 0) yield inflated;
      }
    }
  }
}

function attempt(work: () => Buffer): Buffer | null {
  try {
    return work();
  } catch {
    return null;
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
