import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { type TestContext, after, before, test } from 'node:test';
import fc from 'fast-check';
import {
  EVENT,
  EVERY_COLUMNS,
  EVERY_POLICY,
  SENT_AT,
  TABLES,
  eventBody,
  harmless,
} from '../support/hostile-case.js';
import { type Found, assertOutcome } from '../support/hostile-check.js';
import { HOSTILE_TEXTS } from '../support/hostile-text.js';
import { type Drained, drainBodies } from '../support/hostile-pipeline.js';
import { testKeyring } from '../support/masking.js';
import { type TestPostgres, rowsOf, startTestPostgres, withConnection } from '../support/postgres.js';

const SEED = Number(process.env['MASKLINE_TEST_SEED'] ?? randomInt(2 ** 31 - 1));
/** For each property; the more, the longer it looks. */
const BUDGET_MS = Number(process.env['MASKLINE_TEST_BUDGET_MS'] ?? 5_000);
const PER_ROUND = 600;

const keyring = testKeyring();
const everyFields = EVERY_COLUMNS.map((column) => column.name);
const neighbour = harmless('the neighbour', eventBody());

let postgres: TestPostgres;
before(async () => {
  postgres = await startTestPostgres();
});
after(() => postgres.stop());

/** A database of its own for a round. */
async function database(): Promise<string> {
  const url = await postgres.migratedDatabase();
  await withConnection(url, (client) => client.query(TABLES.every));
  return url;
}

async function drainInto(url: string, bodies: readonly string[]): Promise<Drained> {
  const drained = await drainBodies({
    database: url,
    policy: EVERY_POLICY,
    table: 'every',
    keyring,
    bodies,
    sentAt: SENT_AT,
    maxMessages: 300,
  });
  const { received, loaded, quarantined, duplicates, released } = drained.report;
  assert.deepEqual(
    { received, duplicates, released },
    { received: bodies.length, duplicates: 0, released: 0 },
  );
  assert.equal(loaded + quarantined, bodies.length);
  assert.equal(new Set(drained.acked).size, bodies.length);
  assert.deepEqual(drained.events, [], 'a batch was stopped');
  for (const batch of drained.batches) assert.ok(batch.copies <= 3);
  return drained;
}

/** Rows and rejections by message. */
async function found(url: string): Promise<Map<number, Found>> {
  const list = ['message_id', ...everyFields.filter((name) => name !== 'dropped')];
  const select = `select ${list.map((name) => `"${name}"::text`).join(', ')} from public.every`;
  return withConnection(url, async (client) => {
    await client.query("set timezone = 'UTC'");
    const { rows } = await client.query<Readonly<{ [column: string]: string | null }>>(select);
    const { rows: rejections } = await client.query<{
      message_id: string;
      code: string;
      path: string | null;
    }>('select message_id, code, path from maskline.quarantine');
    const index = (id: unknown): number => Number(String(id).slice('message-'.length));
    return new Map<number, Found>([
      ...rows.map((row): [number, Found] => [index(row['message_id']), { row }]),
      ...rejections.map(({ message_id, code, path }): [number, Found] => [index(message_id), { code, path }]),
    ]);
  });
}

/** Samples until the time is used up; each round has a seed of its own, and prints it when it fails. */
async function rounds<T>(
  context: TestContext,
  arbitrary: fc.Arbitrary<T>,
  check: (values: readonly T[]) => Promise<void>,
): Promise<void> {
  const until = performance.now() + BUDGET_MS;
  let count = 0;
  for (let round = 0; round === 0 || performance.now() < until; round += 1) {
    const seed = SEED + round;
    const values = fc.sample(arbitrary, { numRuns: PER_ROUND, seed });
    try {
      await check(values);
    } catch (error) {
      context.diagnostic(`fails with MASKLINE_TEST_SEED=${seed}`);
      throw error;
    }
    count += values.length;
  }
  context.diagnostic(`${count} values in time, from MASKLINE_TEST_SEED=${SEED}`);
}

const hostileText = fc.constantFrom(...HOSTILE_TEXTS.map(({ text }) => text));
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.array(hostileText, { maxLength: 4 }).map((parts) => parts.join('')),
  fc.array(fc.nat(0xffff), { maxLength: 8 }).map((units) => String.fromCharCode(...units)),
);
/** JSON text of numbers, in all spellings. */
const number = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.oneof(fc.constant('0'), fc.bigInt({ min: 1n, max: 10n ** 40n }).map(String)),
    fc.oneof(
      fc.constant(''),
      fc.bigInt({ min: 0n, max: 10n ** 30n }).map((digits) => `.${digits}`),
    ),
    fc.oneof(
      fc.constant(''),
      fc.integer({ min: -500, max: 500 }).map((e) => `e${e}`),
      fc.constantFrom('E+0', 'e-0'),
    ),
  )
  .map((parts) => parts.join(''));
const address = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc.ipV4Extended(),
  fc.tuple(fc.ipV4(), fc.nat(40)).map((p) => p.join('/')),
);
const date = fc.date({ noInvalidDate: true });
const likely = fc.oneof(
  address,
  fc.uuid(),
  date.map((day) => day.toISOString()),
  date.map((day) => day.toISOString().slice(0, 10)),
  fc.tuple(fc.nat(1_100), fc.nat(1_100), fc.nat(1_100)).map((parts) => parts.join('.')),
  fc.bigInt({ min: -(2n ** 65n), max: 2n ** 65n }).map(String),
  number,
);
const json = fc.oneof(
  text.map((value) => JSON.stringify(value)),
  likely.map((value) => JSON.stringify(value)),
  number,
  fc.json({ maxDepth: 6 }),
  fc.json({ stringUnit: 'binary' }),
  fc.constantFrom('null', 'true', 'false', '{}', '[]'),
);

/** What the kept value of a row must be, where that can be said of any value. */
function assertKept(name: string, sent: string, stored: string | null | undefined): void {
  const value: unknown = JSON.parse(sent);
  const shown = `${name}: ${sent.slice(0, 100)}`;
  if (name === 'dropped') return assert.equal(stored, undefined, shown);
  if (value === null || name === 'gone') return assert.equal(stored, null, shown);
  if (name === 'kept') return assert.equal(stored, value, shown);
  if (name === 'flag') return assert.equal(stored, sent, shown);
  if (name === 'int' || name === 'big')
    return assert.equal(stored, String(BigInt(value as string | number)), shown);
  if (name === 'day') return assert.equal(stored, value, shown);
  // Doubles agree where the digits do; Postgres keeps all of them.
  if (name === 'num') return assert.ok(Number(stored) === Number(value), shown);
  if (name === 'doc' && typeof stored === 'string')
    assert.deepEqual(JSON.parse(stored, withoutMinusZero), JSON.parse(sent, withoutMinusZero), shown);
}

/** Postgres knows one zero only. */
function withoutMinusZero(_: string, value: unknown): unknown {
  return Object.is(value, -0) ? 0 : value;
}

test('any JSON value in any column gives a row or a rejection that names the column, and its neighbours load', async (context) => {
  const one = fc.tuple(fc.constantFrom(...everyFields), json);
  await rounds(context, one, async (values) => {
    const url = await database();
    await drainInto(
      url,
      values.flatMap(([name, value]) => [eventBody({ [name]: value }), neighbour.body]),
    );
    const outcomes = await found(url);
    let rows = 0;
    for (const [i, [name, value]] of values.entries()) {
      assertOutcome(neighbour, neighbour.every, outcomes.get(2 * i + 1));
      const outcome = outcomes.get(2 * i);
      assert.ok(outcome, `${name}: ${value} is nowhere`);
      if ('row' in outcome) {
        rows += 1;
        assertKept(name, value, outcome.row[name]);
      } else {
        // Its depth is the body's.
        assert.equal(outcome.path, outcome.code === 'too_deep' ? null : name, `${name}: ${value}`);
        assert.doesNotMatch(outcome.code, /^(refused_|mask_failed)/, `${name}: ${value}`);
      }
    }
    assert.ok(rows > values.length / 10 && rows < values.length, 'both outcomes occur');
  });
});

test('any text that JSON can carry comes back from the table as it went in, or is a rejection', async (context) => {
  await rounds(context, text, async (values) => {
    const url = await database();
    await drainInto(
      url,
      values.map((value) => eventBody({ kept: JSON.stringify(value), doc: JSON.stringify([value]) })),
    );
    const outcomes = await found(url);
    for (const [i, value] of values.entries()) {
      const outcome = outcomes.get(i);
      const isStorable = !/[\0\p{Surrogate}]/u.test(value);
      assert.ok(outcome);
      if ('code' in outcome) {
        assert.deepEqual(outcome, { code: 'bad_text', path: 'kept' }, JSON.stringify(value));
        assert.ok(!isStorable, JSON.stringify(value));
      } else {
        assert.equal(outcome.row['kept'], value);
        assert.deepEqual(JSON.parse(outcome.row['doc'] ?? ''), [value]);
        assert.ok(isStorable);
      }
    }
  });
});

const MARK = 'canary-5d1e';
/** A name or a text that must not be seen again. */
const marked = text.map((value) => `${MARK}${value.replaceAll(/[\0\ud800-\udfff]/g, '')}`);
const markedJson = fc.oneof(
  marked.map((value) => JSON.stringify(value)),
  fc.tuple(marked, json).map(([name, value]) => `{${JSON.stringify(name)}:${value}}`),
  fc.array(marked, { minLength: 1, maxLength: 3 }).map((values) => JSON.stringify(values)),
);
/** Columns whose values may never be seen, and whole bodies that are broken. */
const secretFields = everyFields.filter((name) => !['kept', 'doc'].includes(name));
const markedBody = fc.oneof(
  fc.tuple(fc.constantFrom(...secretFields), markedJson).map(([name, value]) => eventBody({ [name]: value })),
  fc.tuple(marked, markedJson).map(([name, value]) => eventBody({}, `,${JSON.stringify(name)}:${value}`)),
  markedJson,
  fc.tuple(markedJson, fc.nat(60)).map(([value, cut]) => `{"kept":${value}`.slice(0, 9 + MARK.length + cut)),
  marked,
);

test('no row, rejection, report, event or server log holds a marked value of a record, good or bad', async (context) => {
  await rounds(context, markedBody, async (bodies) => {
    const url = await database();
    const drained = await drainInto(url, bodies);
    const tables = ['public.every', 'maskline.ledger', 'maskline.loads', 'maskline.runs'];
    const seen = [JSON.stringify(drained), await postgres.log()];
    for (const table of tables)
      seen.push(JSON.stringify(await rowsOf(url, `select t::text from ${table} t`)));
    const entries = await rowsOf(
      url,
      "select to_jsonb(q) - 'sealed' as entry, encode(sealed, 'escape') as sealed from maskline.quarantine q",
    );
    assert.ok(entries.length > 0);
    seen.push(JSON.stringify(entries));
    for (const everything of seen) assert.ok(!everything.includes(MARK), 'a marked value was seen');
  });
});

test('the event is of every column', () => {
  assert.deepEqual(
    EVENT.slice(6).map(([name]) => name),
    everyFields,
  );
});
