import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';

import { systemClock } from '../../src/clock.js';
import { copyRows } from '../../src/load/copy.js';
import { createdType } from '../../src/load/target-types.js';
import { compileMasker } from '../../src/masking/mask.js';
import type { ColumnSpec } from '../../src/masking/methods.js';
import { batchOf, column, policyOf, testKeyring, token } from '../support/masking.js';
import { type TestPostgres, startTestPostgres } from '../support/postgres.js';

let postgres: TestPostgres;
let client: pg.Client;

before(async () => {
  postgres = await startTestPostgres();
  client = new pg.Client({ connectionString: await postgres.database() });
  await client.connect();
  await client.query(`set time zone 'UTC'`);
});

after(async () => {
  await client.end();
  await postgres.stop();
});

/** Copies what the columns make of the bodies into a table of their created types; rows as text, in order. */
async function loaded(
  columns: readonly ColumnSpec[],
  bodies: readonly string[],
): Promise<(string | null)[][]> {
  const { masked } = compileMasker(policyOf(columns), testKeyring(), systemClock).mask(batchOf(bodies));
  const definition = columns.map((spec) => `"${spec.name}" ${createdType(spec)}`).join(', ');
  await client.query('drop table if exists t');
  await client.query(`create table t (line bigint generated always as identity, ${definition})`);
  assert.equal(await copyRows(client, 't', masked.columns, masked.rows), masked.keys.length);
  const { rows } = await client.query<(string | null)[]>({
    text: `select ${columns.map(({ name }) => `"${name}"::text`).join(', ')} from t order by line`,
    rowMode: 'array',
  });
  return rows;
}

const address = fc.oneof(fc.ipV4(), fc.ipV6());
const day = fc.date({
  min: new Date('0001-01-01'),
  max: new Date('9999-12-31T23:59:59Z'),
  noInvalidDate: true,
});
const offset = fc.constantFrom('Z', '+00:00', '-15:59', '+05:45', '+15:59');

test("Postgres takes all that every mask makes, in that mask's own type", async () => {
  const event = fc.record({
    ip: address,
    mail: fc.emailAddress(),
    phone: fc.stringMatching(/^\+?[0-9]{8,15}$/),
    card: fc.constantFrom('4111111111111111', '378282246310005'),
    id: fc.stringMatching(/^[0-9]{3}-[0-9]{4,9}$/),
    text: fc.string({ unit: 'binary', maxLength: 20 }),
    day: day.map((date) => date.toISOString().slice(0, 10)),
    time: fc.tuple(day, offset).map(([date, zone]) => date.toISOString().replace('Z', zone)),
    number: fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer()),
    entity: fc.stringMatching(/^[a-z]{1,8}$/),
  });
  const entity = { name: 'entity', steps: [] };
  const from = (name: string): Pick<ColumnSpec, 'path' | 'source'> => ({
    path: name,
    source: { kind: 'field', name },
  });
  const columns: readonly ColumnSpec[] = [
    column('prefix', { ...from('ip'), type: 'inet', mask: { method: 'ip-truncate', v4: 24, v6: 48 } }),
    column('det', { ...from('ip'), type: 'inet', mask: { method: 'ipcrypt-det', domain: 'd' } }),
    column('pfx', { ...from('ip'), type: 'inet', mask: { method: 'ipcrypt-pfx', domain: 'd' } }),
    column('version', { ...from('ip'), type: 'integer', mask: { method: 'generalize', to: 'ip_version' } }),
    column('mail', { maxLength: 256, mask: { method: 'partial', kind: 'email' } }),
    column('phone', { mask: { method: 'partial', kind: 'phone', show: 4 } }),
    column('card', { mask: { method: 'partial', kind: 'card' } }),
    column('id', {
      mask: {
        method: 'ff1',
        domain: 'd',
        template: [{ least: 3, most: 3 }, { literal: '-' }, { least: 4, most: 9 }],
        alphabet: '0123456789',
      },
    }),
    column('text', {
      mask: { method: 'partial', kind: 'pattern', pattern: '.*', replace: '\\\t$$' },
    }),
    column('moved', {
      ...from('day'),
      type: 'date',
      mask: { method: 'date-shift', domain: 'd', entity, days: 99 },
    }),
    column('moved_time', {
      ...from('time'),
      type: 'timestamptz',
      mask: { method: 'date-shift', domain: 'd', entity, days: 99 },
    }),
    column('month', { ...from('day'), type: 'date', mask: { method: 'generalize', to: 'month' } }),
    column('hour', { ...from('time'), type: 'timestamptz', mask: { method: 'generalize', to: 'hour' } }),
    column('bucket', { ...from('number'), mask: { method: 'bucket', edges: ['0', '1'] } }),
    column('kid', { path: '$mask_kid', source: { kind: 'meta', name: 'mask_kid' }, type: 'integer' }),
  ];
  const events = fc.sample(event, 1500);
  const found = await loaded(
    columns,
    events.map((one) => JSON.stringify(one)),
  );
  assert.ok(found.length > 700, `${found.length} of ${events.length} rows`);
  for (const row of found) {
    assert.match(row[0] ?? '', /(?:\.0|::)\/(?:32|128)$/);
    assert.match(row[3] ?? '', /^[46]$/);
    assert.equal(row.at(-1), '2');
  }
});

test("Postgres agrees about the beginning of every period, and about a shifted day's time", async () => {
  const times = fc
    .sample(fc.tuple(day, offset), 400)
    .map(([date, zone]) => date.toISOString().replace('Z', zone));
  const source = { kind: 'field', name: 't' } as const;
  const kept = column('t', { source, type: 'timestamptz' });
  for (const to of ['year', 'quarter', 'month', 'week', 'day', 'hour'] as const) {
    const start = column('start', { source, type: 'timestamptz', mask: { method: 'generalize', to } });
    const rows = await loaded(
      [kept, start],
      times.map((t) => JSON.stringify({ t })),
    );
    assert.ok(rows.length > 300);
    const { rows: wrong } = await client.query(
      `select t from t where start <> date_trunc('${to}', t at time zone 'UTC') at time zone 'UTC'`,
    );
    assert.deepEqual(wrong, [], to);
  }
  const entity = { name: 'entity', steps: [] };
  const moved = column('moved', {
    source,
    type: 'timestamptz',
    mask: { method: 'date-shift', domain: 'd', entity, days: 40 },
  });
  await loaded(
    [kept, moved],
    times.map((t, i) => JSON.stringify({ t, entity: `e${i}` })),
  );
  const { rows } = await client.query<{ days: number; most: number; exact: boolean }>(
    `select count(distinct moved - t)::int as days, extract(day from max(abs_days))::int as most,
            bool_and(extract(epoch from moved - t)::numeric % 86400 = 0) as exact
       from t, lateral (select greatest(moved - t, t - moved) as abs_days) as shift`,
  );
  assert.equal(rows[0]?.exact, true);
  assert.ok((rows[0]?.days ?? 0) > 40 && (rows[0]?.most ?? 99) <= 40);
});

test('lists arrive as the arrays that were sent, with any text in them', async () => {
  const item = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 8 }).filter((text) => !/[\0\p{Cs}]/u.test(text)),
    fc.constantFrom('NULL', '{', '}', ',', '"', '\\', '\\N', '\t\n', ''),
    fc.constant(null),
  );
  const source = { kind: 'path', name: 'l', steps: [{ each: true }] } as const;
  const columns = [
    column('texts', { source, type: 'text[]' }),
    column('json', { source, type: 'jsonb' }),
    column('tokens', { source, type: 'text[]', mask: token('siv') }),
    column('json_tokens', { source, type: 'jsonb', mask: token('siv') }),
  ];
  const lists = fc
    .sample(fc.array(item, { maxLength: 6 }), 500)
    .filter((list) => !list.some((text) => /\p{C}/u.test(text ?? '')));
  await loaded(
    columns,
    lists.map((l) => JSON.stringify({ l })),
  );
  const { rows } = await client.query<{ texts: unknown; json: unknown; same: boolean }>(
    'select texts, json, to_jsonb(tokens) = json_tokens as same from t order by line',
  );
  assert.equal(rows.length, lists.length);
  for (const [i, row] of rows.entries())
    assert.deepEqual(row, { texts: lists[i], json: lists[i], same: true });
});
