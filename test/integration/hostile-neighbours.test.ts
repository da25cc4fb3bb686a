import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { drainBodies } from '../support/hostile-pipeline.js';
import { SENT_AT } from '../support/hostile-case.js';
import { column, policyOf, primaryMaster, testKeyring, token } from '../support/masking.js';
import { tokenOracle } from '../support/oracle.js';
import { type TestPostgres, rowsOf, startTestPostgres, withConnection } from '../support/postgres.js';

const COUNT = 1_000;
/** A row that is refused costs a COPY that fails, and one more without the first of them; the third takes them all. */
const MAX_COPIES = 3;

const policy = policyOf(
  [
    column('id', { required: true }),
    column('n', { type: 'integer' }),
    column('who', { mask: token('siv', { domain: 'who' }) }),
  ],
  { pipeline: 'events' },
);

/** What only the table refuses: a CHECK, a length, NOT NULL, a duplicate, a reference, an exclusion, a trigger. */
const TABLE = `
  create table public.known (n integer primary key);
  insert into public.known select generate_series(0, 1999);
  create table public.events (id varchar(20) primary key, n integer not null references public.known check (n <> 13), who text);
  create function public.refuse() returns trigger language plpgsql as $$
  begin
    if new.n = 14 then raise exception 'not this one'; end if;
    return new;
  end $$;
  create trigger refuse before insert on public.events for each row execute function public.refuse()`;

const json = (id: string, n: unknown): string => JSON.stringify({ id, n, who: `person ${id}` });

/** Ways to be bad: by the mask, and by the table. */
const BY_MASK: readonly ((id: string) => string)[] = [
  (id) => json(id, 1).slice(1),
  (id) => json(id, 'one'),
  (id) => json(id, 2 ** 31),
  () => '{}',
  (id) => JSON.stringify([id]),
];
const BY_TABLE: readonly ((id: string) => string)[] = [
  (id) => json(id, 13),
  (id) => json(id, 14),
  (id) => json(id, null),
  (id) => json(id, -1),
  (id) => json(`${id} is too long for its column`, 1),
  () => json('good-0', 1),
];

let postgres: TestPostgres;
before(async () => {
  postgres = await startTestPostgres();
});
after(() => postgres.stop());

const shapes: readonly (readonly [string, readonly ((id: string) => string)[]])[] = [
  ['by the mask', BY_MASK],
  ['by the table', BY_TABLE],
  ['by both', [...BY_MASK, ...BY_TABLE]],
];
for (const [how, ways] of shapes) {
  test(`of a batch of 1,000, of which every second is refused ${how}, 500 load in at most three COPYs`, async () => {
    const database = await postgres.migratedDatabase();
    await withConnection(database, (client) => client.query(TABLE));
    const bodies = Array.from({ length: COUNT }, (_, i) => {
      if (i % 2 === 0) return json(`good-${i}`, 100 + i);
      return (ways[((i - 1) / 2) % ways.length] ?? (() => ''))(`bad-${i}`);
    });
    const drained = await drainBodies({
      database,
      policy,
      table: 'events',
      keyring: testKeyring(),
      bodies,
      sentAt: SENT_AT,
      maxMessages: COUNT,
    });
    const { received, loaded, quarantined, released } = drained.report;
    assert.deepEqual(
      { received, loaded, quarantined, released },
      { received: COUNT, loaded: 500, quarantined: 500, released: 0 },
    );
    assert.equal(drained.batches.length, 1);
    assert.ok((drained.batches[0]?.copies ?? Infinity) <= MAX_COPIES);
    assert.equal(drained.acked.length, COUNT);
    const rows = await rowsOf(database, 'select id, n, who from public.events order by n');
    const good = Array.from({ length: 500 }, (_, i) => {
      const id = `good-${2 * i}`;
      return { id, n: 100 + 2 * i, who: tokenOracle(primaryMaster, 2, 'siv', 'who', 'text', `person ${id}`) };
    });
    assert.deepEqual(rows, good);
  });
}
