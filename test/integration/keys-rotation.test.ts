import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { LeakScan } from '../../src/proof/leak-scan.js';
import { type CliProcess, type CliResult, type Json, assertHas } from '../support/cli.js';
import { tokenOracle } from '../support/oracle.js';
import { type Deployment, PIPELINE, type Stack, assertAddsUp, startStack } from '../support/stack.js';

const TABLE = `public.${PIPELINE}`;
/** Logins of one round; each person occurs so often in it. */
const PEOPLE = 120;
const TIMES = 3;
const ROUND = PEOPLE * TIMES;
const MASKED = ['masked_ip', 'masked_device', 'account', 'net', 'mails', 'phone', 'cards', 'extra'] as const;
/** A login of a table that would not take it, until it does. */
const UNWELCOME = 'unwelcome';

const COLUMNS = {
  login: { from: 'login', type: 'text', required: true },
  masked_ip: { from: 'ip', required: true, mask: { method: 'siv', domain: 'ip', as: 'ip' } },
  masked_device: { from: 'device', required: true, mask: { method: 'siv', domain: 'device', pad: 32 } },
  account: { from: 'account', mask: { method: 'ff1', template: '^(\\d{3})-(\\d{2})-(\\d{4})$' } },
  net: { from: 'ip', mask: { method: 'ipcrypt-pfx', domain: 'net' } },
  mails: { from: 'mails[*]', type: 'text[]', mask: { method: 'siv', domain: 'mail' } },
  phone: { from: 'phone', mask: { method: 'vault', domain: 'phone', subject: 'device' } },
  cards: { from: 'cards[*]', type: 'text[]', mask: { method: 'vault', domain: 'card', subject: 'device' } },
  counted: { from: 'device', mask: { method: 'hmac', domain: 'device' } },
  sums: { from: 'sums', type: 'jsonb', masks: { '[*].device': { method: 'hmac', domain: 'device' } } },
  extra: {
    from: '$rest',
    keep: ['price', 'note', 'contact.phones'],
    masks: {
      'contact.mails[*]': { method: 'siv', domain: 'mail' },
      'contact.phones[*].no': { method: 'vault', domain: 'phone', subject: 'device' },
    },
  },
  mask_kid: { from: '$mask_kid', type: 'integer' },
} as const;

/** What is in no column of its own; the price has a digit that a client of JSON would lose. */
const restOf = ({ device, mails, phone }: Person): string =>
  JSON.stringify({
    sums: [{ device }],
    contact: { mails, phones: [{ no: phone, kind: 'home' }] },
    note: 's1.kept',
    price: 0,
  }).replace('"price":0', '"price":1.50');

interface Person {
  readonly ip: string;
  readonly device: string;
  readonly account: string;
  readonly mails: readonly string[];
  readonly phone: string;
  readonly cards: readonly string[];
}

const people = Array.from({ length: PEOPLE }, (_, i): Person => ({
  ip: `203.0.${100 + (i % 2)}.${i + 100}`,
  device: `canary-device-${String(i).padStart(4, '0')}`,
  account: `${String(113 + i).padStart(3, '0')}-${String(i % 100).padStart(2, '0')}-${String(7_901 + i * 13).slice(-4)}`,
  mails: [`canary-${i}@first.example`, `canary-${i}@second.example`],
  phone: `canary-phone-${String(i).padStart(4, '0')}`,
  cards: [`canary-card-a-${i}`, `canary-card-b-${i}`],
}));
/** Of each person the vault holds so many values. */
const VAULTED = 3;

const login = (name: string, person: Person): string =>
  JSON.stringify({ login: name, ...person }).replace(/}$/, `,${restOf(person).slice(1)}`);
const round = (name: string): readonly string[] =>
  Array.from({ length: TIMES }, (_, time) =>
    people.map((person, i) => login(`${name}-${time * PEOPLE + i}`, person)),
  ).flat();

describe('a rotation of the key', () => {
  let stack: Stack;
  let deployment: Deployment;
  before(async () => {
    stack = await startStack({ log_statement: 'all', log_min_duration_statement: '0' });
    deployment = await stack.deployment({
      ddl: null,
      pipeline: {
        columns: COLUMNS,
        schedule: 'continuous',
        // What a receive has taken along that its process's end cut off is back soon.
        source: { sqs: { visibility_timeout: '5s' } },
        limits: { breaker: { max_rejected_ratio: 1 } },
        target: { table: TABLE, create: true },
      },
    });
    await command('migrate');
    await deployment.query(`alter table ${TABLE} add constraint welcome check (login <> '${UNWELCOME}')`);
  });
  after(() => stack.stop());

  async function command(...args: string[]): Promise<CliResult> {
    const result = await deployment.cli.run(args);
    assert.equal(result.code, 0, `${args.join(' ')}: ${result.stderr}${result.stdout}`);
    return result;
  }
  const oldRows = (): Promise<number> => deployment.count(`${TABLE} where mask_kid = 1`);
  async function distinct(): Promise<Json> {
    const counts = MASKED.map((name) => `count(distinct ${name})::int as ${name}`);
    return (await deployment.query(`select ${counts.join(', ')} from ${TABLE}`))[0] ?? {};
  }
  const each = (count: number): Json => Object.fromEntries(MASKED.map((name) => [name, count]));
  const remask = (rate: number): CliProcess =>
    deployment.cli.spawn(['remask', '--from-kid', '1', '--rate', String(rate), '--yes']);
  const destroy = (): Promise<CliResult> => deployment.cli.run(['keys', 'destroy', '1', '--yes']);
  async function usesOfOldKey(): Promise<Json> {
    const { code, rows, stderr } = await destroy();
    assert.equal(code, 1, stderr);
    assertHas(rows[0], { kid: 1, destroyed: false });
    const uses = rows[0]?.['uses'] as readonly { place: string; count: number }[];
    return Object.fromEntries(uses.map(({ place, count }) => [place, count]));
  }
  async function startAll(): Promise<CliProcess> {
    const process = deployment.cli.spawn(['run', 'all'], { limitMs: 240_000 });
    await process.waitFor('started');
    return process;
  }
  async function stopped(process: CliProcess): Promise<void> {
    process.signal('SIGTERM');
    assert.equal((await process.ended).code, 0, process.stderr);
  }
  let worker: CliProcess;

  test('loads under the first key, and quarantines what is no login and what the table refuses', async () => {
    worker = await startAll();
    await deployment.send([
      ...round('first'),
      '{"canary": "quarantined-body-0001"}',
      ...people.slice(0, 1).map((person) => login(UNWELCOME, person)),
    ]);
    await deployment.countUntil(TABLE, (count) => count === ROUND);
    await deployment.countUntil('maskline.quarantine', (count) => count === 2);
    assert.deepEqual(await distinct(), each(PEOPLE));
    assert.deepEqual(
      await deployment.query('select distinct kid, count(*)::int as n from maskline.quarantine group by kid'),
      [{ kid: 1, n: 2 }],
    );
  });

  test('goes on under the first key when another is added, and under that one after its promotion and a restart', async () => {
    await command('keys', 'add');
    assert.deepEqual(
      (await command('keys', 'list')).rows.map(({ kid, state }) => [kid, state]),
      [
        [1, 'primary'],
        [2, 'decrypt-only'],
      ],
    );
    await command('keys', 'promote', '2');
    const uses = await usesOfOldKey();
    assert.equal(uses['processes that began before the keyring was last changed'], 1);
    await stopped(worker);
    worker = await startAll();
    await deployment.send(round('second'));
    await deployment.countUntil(TABLE, (count) => count === 2 * ROUND);
    assert.deepEqual(await distinct(), each(2 * PEOPLE), 'equality breaks at the boundary');
  });

  test('the old key is not destroyed while anything is under it: each place is named, with its count', async () => {
    assert.deepEqual(await usesOfOldKey(), {
      [`${TABLE}.masked_ip`]: ROUND,
      [`${TABLE}.masked_device`]: ROUND,
      [`${TABLE}.mails`]: ROUND,
      [`${TABLE}.phone`]: ROUND,
      [`${TABLE}.cards`]: ROUND,
      [`${TABLE}.counted`]: ROUND,
      [`${TABLE}.sums`]: ROUND,
      [`${TABLE}.extra`]: ROUND,
      [`${TABLE}.mask_kid`]: ROUND,
      'maskline.quarantine': 2,
      'maskline.vault': VAULTED * PEOPLE,
      'maskline.vault_subjects': VAULTED * PEOPLE,
    });
    const { code, stderr } = await deployment.cli.run(['keys', 'destroy', '2', '--yes']);
    assert.equal(code, 2);
    assert.match(stderr, /key 2 of .* is the primary/);
  });

  test('a rehearsal opens everything and changes nothing', async () => {
    const { rows } = await command('remask', '--from-kid', '1', '--dry-run');
    assertHas(rows[0], {
      dry_run: true,
      state: 'done',
      remasked: ROUND,
      unopened: 0,
      quarantine_resealed: 2,
      vault_remasked: VAULTED * PEOPLE,
      vault_unopened: 0,
    });
    assert.equal(await oldRows(), ROUND);
    assert.equal(await deployment.count('maskline.vault where kid = 1'), VAULTED * PEOPLE);
  });

  test('old rows come over while others are loaded, killed once in the middle and stopped once by a signal', async () => {
    const killed = remask(50);
    await deployment.send(round('third'));
    await deployment.countUntil(`${TABLE} where mask_kid = 1`, (count) => count < ROUND);
    await killed.kill();
    const afterKill = await oldRows();
    assert.ok(afterKill > 0, 'it was killed in the middle');

    const interrupted = remask(50);
    await deployment.countUntil(`${TABLE} where mask_kid = 1`, (count) => count < afterKill);
    interrupted.signal('SIGTERM');
    const { code, rows, stderr } = await interrupted.ended;
    assert.equal(code, 1, stderr);
    assertHas(rows[0], { state: 'interrupted', left: null });
    const afterSignal = await oldRows();
    assert.ok(afterSignal > 0, 'it was stopped in the middle');
    assert.equal(afterSignal, afterKill - Number(rows[0]?.['remasked']), 'it reports what it has done');

    const last = await remask(100_000).ended;
    assert.equal(last.code, 0, last.stderr + last.stdout);
    assertHas(last.rows[0], { state: 'done', remasked: afterSignal, unopened: 0, left: 0 });
    assert.deepEqual(last.rows[0]?.['one_way'], [
      {
        table: TABLE,
        column: 'counted',
        method: 'hmac',
        values: ROUND,
        why: 'the method has no way back to the value',
      },
      {
        table: TABLE,
        column: 'sums',
        method: 'hmac',
        values: ROUND,
        why: 'the method has no way back to the value',
      },
    ]);
    const [checkpoint] = await deployment.query('select sum(remasked)::int as n from maskline.remasks');
    assert.equal(checkpoint?.['n'], ROUND, 'no row was brought over twice');
  });

  test('every value has one token again, the one that the new key makes', async () => {
    await deployment.countUntil(TABLE, (count) => count === 3 * ROUND);
    assert.deepEqual(await distinct(), each(PEOPLE));
    const master = deployment.masters().get(2);
    assert.ok(master);
    const tokens = await deployment.query(
      `select masked_ip, masked_device, mails, count(*)::int as n, count(distinct (account, net))::int as formats
         from ${TABLE} group by 1, 2, 3 order by 1`,
    );
    const expected = people.map(({ ip, device, mails }) => ({
      masked_ip: tokenOracle(master, 2, 'siv', 'ip', 'ip', ip),
      masked_device: tokenOracle(master, 2, 'siv', 'device', 'text', device, { pad: 32 }),
      mails: mails.map((mail) => tokenOracle(master, 2, 'siv', 'mail', 'text', mail)),
      n: 3 * TIMES,
      formats: 1,
    }));
    const byToken = (a: Json, b: Json): number => (String(a['masked_ip']) < String(b['masked_ip']) ? -1 : 1);
    assert.deepEqual([...tokens].sort(byToken), expected.sort(byToken));
    const within = await deployment.query(
      `select count(*) filter (where extra -> 'contact' -> 'mails' = to_jsonb(mails)
                 and extra #>> '{contact,phones,0,no}' = phone and extra #>> '{contact,phones,0,kind}' = 'home'
                 and extra ->> 'price' = '1.50' and extra ->> 'note' = 's1.kept')::int as n, count(*)::int as of
         from ${TABLE}`,
    );
    assert.deepEqual(
      within,
      [{ n: 3 * ROUND, of: 3 * ROUND }],
      'and so it is within JSON, where all else stays',
    );
  });

  test('the vault has each value once, under the new key, with its subject', async () => {
    const [vault] = await deployment.query(
      `select count(*)::int as n, count(distinct token)::int as tokens, min(kid) as first, max(kid) as last from maskline.vault`,
    );
    assert.deepEqual(vault, { n: VAULTED * PEOPLE, tokens: VAULTED * PEOPLE, first: 2, last: 2 });
    assert.equal(await deployment.count('maskline.vault_subjects where kid = 2'), VAULTED * PEOPLE);
    assert.equal(await deployment.count('maskline.vault_former'), VAULTED * PEOPLE);
    const tokens = await deployment.query(
      `select count(*)::int as n from (select phone as token from ${TABLE} union all select unnest(cards) from ${TABLE}) t
        where not exists (select from maskline.vault v where v.token = t.token)`,
    );
    assert.deepEqual(tokens, [{ n: 0 }], 'every token is one of today');
  });

  test('what was quarantined is sealed under the new key, tokens and all, and replays to the same tokens', async () => {
    assert.equal(await deployment.count('maskline.quarantine where kid = 1'), 0);
    await deployment.query(`alter table ${TABLE} drop constraint welcome`);
    await command('quarantine', 'replay', '--code', 'refused_23514', '--all', '--yes');
    assert.equal(await deployment.count(`${TABLE} where login = '${UNWELCOME}'`), 1);
    assert.equal(await deployment.count(`${TABLE} where phone like 'v1.%'`), 0);
    assert.deepEqual(await distinct(), each(PEOPLE));
  });

  test('the old key goes when its last token has gone, and stays gone', async () => {
    assert.deepEqual(await usesOfOldKey(), {
      [`${TABLE}.counted`]: ROUND + 1,
      [`${TABLE}.sums`]: ROUND + 1,
      'tokens in masked rows of maskline.quarantine': 1,
    });
    await command('quarantine', 'purge', '--all', '--replayed', '--yes');
    await deployment.query(`update ${TABLE} set counted = null, sums = null where counted like 'h1.%'`);
    await stopped(worker);
    const { code, rows, stderr } = await destroy();
    assert.equal(code, 0, stderr);
    assert.deepEqual(rows, [{ kid: 1, destroyed: true, uses: [] }]);
    assert.deepEqual(
      (await command('keys', 'list')).rows.map(({ kid, state }) => [kid, state]),
      [
        [1, 'destroyed'],
        [2, 'primary'],
      ],
    );
    await command('keys', 'check');
    await command('prove');
    assertAddsUp(await deployment.runs());
  });

  test('without the old key every value of the vault is revealed, by its tokens of before too, and erased by its subject', async () => {
    const reveal = async (sql: string): Promise<readonly Json[]> =>
      (await command('reveal', '--sql', sql, '--column', 'token', '--purpose', 'a rotation drill')).rows;
    const values = async (sql: string): Promise<readonly string[]> =>
      (await reveal(sql)).map(({ value }) => String(value)).toSorted();
    const expected = people.flatMap(({ phone, cards }) => [phone, ...cards]).toSorted();
    const ofToday = await values(
      `select distinct phone as token from ${TABLE} union select distinct unnest(cards) from ${TABLE}`,
    );
    assert.deepEqual(ofToday, expected);
    assert.deepEqual(await values('select token from maskline.vault_former'), expected);
    const [first] = people;
    const erased = await command(
      'erase',
      '--subject',
      first?.device ?? '',
      '--purpose',
      'a rotation drill',
      '--yes',
    );
    assertHas(erased.rows[0], { vault_entries: VAULTED });
    assert.equal(await deployment.count('maskline.vault'), VAULTED * (PEOPLE - 1));
    assert.equal(await deployment.count('maskline.vault_former'), VAULTED * (PEOPLE - 1));
  });

  test('no value was ever in clear in the data directory, its WAL or the server log', async () => {
    await deployment.query('checkpoint');
    const canaries = Object.fromEntries(
      people.flatMap(({ ip, device, account, mails, phone, cards }, i): [string, string][] => [
        [`ip ${i}`, ip],
        [`device ${i}`, device],
        [`account ${i}`, account],
        [`mail ${i}`, mails[1] ?? ''],
        [`phone ${i}`, phone],
        [`card ${i}`, cards[1] ?? ''],
      ]),
    );
    const { dir } = stack.postgres.server;
    assert.deepEqual(await new LeakScan({ ...canaries, body: 'quarantined-body-0001' }).scanTree(dir), []);
    const kept = await new LeakScan({ kept: 'first-17' }).scanTree(dir);
    assert.ok(
      kept.some(({ where }) => where.includes('pg_wal')),
      'what is kept in clear is found in the WAL',
    );
    const log = await stack.postgres.log();
    assert.match(log, /update only .*user_logins/, 'the log has the statements');
    assert.match(log, /s1\.[\w-]{22}.*/, 'and their parameters, which are tokens');
  });
});
