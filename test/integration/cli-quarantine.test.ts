import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type CliResult, type Json, assertHas } from '../support/cli.js';
import { DATABASE_ROLES, allowLogins, applyRoles, urlAs } from '../support/database-roles.js';
import { withConnection } from '../support/postgres.js';
import {
  type Deployment,
  type DeploymentOptions,
  PIPELINE,
  type Stack,
  assertAddsUp,
  startStack,
} from '../support/stack.js';

const TABLE = `public.${PIPELINE}`;
const COLUMNS = {
  event_id: { from: 'event_id', type: 'text', max_length: 32, required: true },
  device: { from: 'device', required: true, mask: { method: 'siv', domain: 'device' } },
  note: { from: 'note', type: 'text', max_length: 10 },
  n: { from: 'n', type: 'integer' },
} as const;
const DDL = `create table ${TABLE} (event_id varchar(32), device varchar(256), note varchar(10), n integer check (n <> 13))`;
const LONGER = { ...COLUMNS, note: { ...COLUMNS.note, max_length: 60 } };
const CANARY = 'c4naryq7zx';

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

const deploymentOf = (options: DeploymentOptions = {}): Promise<Deployment> =>
  stack.deployment({
    ddl: DDL,
    ...options,
    pipeline: {
      batch: { max_messages: 100, linger: '50ms' },
      // Nothing but bad messages is what most of these tests send.
      limits: { breaker: { max_rejected_ratio: 1 } },
      columns: COLUMNS,
      ...options.pipeline,
    },
  });

const byText = (a: unknown, b: unknown): number => (String(a) < String(b) ? -1 : 1);
const event = (i: number, changes: object = {}): string =>
  JSON.stringify({ event_id: `event-${i}`, device: `${CANARY}-${i}`, note: 'short', n: i + 100, ...changes });
const long = (i: number): string => event(i, { note: `a note of many words ${CANARY}` });
const many = (count: number, body: (i: number) => string): readonly string[] =>
  Array.from({ length: count }, (_, i) => body(i));

/** Sends, drains, and expects so many of them in quarantine. */
async function quarantine(deployment: Deployment, bodies: readonly string[], count: number): Promise<void> {
  await deployment.send(bodies);
  const { rows, stderr } = await deployment.cli.run(['drain']);
  assert.equal(rows[0]?.['quarantined'], count, stderr);
}

/** What was wrong is mended: the column is longer, in the file and in the table. */
async function mend(deployment: Deployment): Promise<void> {
  deployment.configurePipeline({ columns: LONGER });
  await deployment.query(`alter table ${TABLE} alter column note type varchar(60)`);
}

function assertLeakless(...results: readonly CliResult[]): void {
  for (const { stdout, stderr } of results)
    assert.ok(!`${stdout}${stderr}`.includes(CANARY), stdout + stderr);
}

/** Runs `work` while no row can be written to the table. */
async function whileLocked<T>(deployment: Deployment, work: () => Promise<T>): Promise<T> {
  return withConnection(deployment.database, async (client) => {
    await client.query(`begin; lock table ${TABLE} in exclusive mode`);
    return work();
  });
}

async function replayWaits(deployment: Deployment): Promise<void> {
  await deployment.countUntil(
    `pg_locks where not granted and relation = '${TABLE}'::regclass`,
    (count) => count > 0,
  );
}

const replay = (deployment: Deployment, ...args: string[]): Promise<CliResult> =>
  deployment.cli.run(['--yes', 'quarantine', 'replay', ...args]);
const list = async (deployment: Deployment, ...args: string[]): Promise<readonly Json[]> =>
  (await deployment.cli.run(['quarantine', 'list', ...args])).rows;

describe('quarantine', { concurrency: 3 }, () => {
  test('a quarantined message is listed, its cause mended, replayed by two at once, and loaded once', async () => {
    const deployment = await deploymentOf();
    const [id = ''] = await deployment.send([long(50)]);
    await quarantine(deployment, many(20, event), 1);
    const listed = await deployment.cli.run(['quarantine', 'list']);
    assert.equal(listed.code, 0, listed.stderr);
    assert.deepEqual(Object.keys(listed.rows[0] ?? {}), [
      ...['id', 'pipeline', 'code', 'path', 'kind', 'record_id', 'message_id'],
      ...['sent_at', 'quarantined_at', 'replayed_at'],
    ]);
    const about = { pipeline: PIPELINE, code: 'too_long', path: 'note', kind: 'raw', replayed_at: null };
    assertHas(listed.rows[0], { ...about, record_id: id, message_id: id });
    assert.equal(listed.rows.length, 1);

    // Replayed too early, it stays, and says why.
    const early = await replay(deployment, '--all');
    assert.equal(early.code, 1, early.stderr);
    assertHas(early.rows[0], {
      state: 'succeeded',
      received: 1,
      loaded: 0,
      quarantined: 1,
      codes: { too_long: 1 },
    });

    await mend(deployment);
    const both = await Promise.all([
      replay(deployment, '--all', '--code', 'too_long'),
      replay(deployment, String(listed.rows[0]?.['id']).slice(0, 30)),
    ]);
    for (const { code, stderr } of both) assert.equal(code, 0, stderr);
    assertLeakless(listed, early, ...both);
    assert.deepEqual(await deployment.query(`select note, n from ${TABLE} where event_id = 'event-50'`), [
      { note: `a note of many words ${CANARY}`, n: 150 },
    ]);
    assert.equal(await deployment.count(TABLE), 21);
    assert.deepEqual(await list(deployment), []);
    assertHas((await list(deployment, '--replayed'))[0], { id: listed.rows[0]?.['id'] });
    assertAddsUp(await deployment.runs());
    const sums = await deployment.query(
      "select sum(loaded)::int as loaded from maskline.runs where trigger = 'replay' and state = 'succeeded'",
    );
    assert.deepEqual(sums, [{ loaded: 1 }]);
    // Once more, and nothing happens.
    const again = await replay(deployment, '--all');
    assert.equal(again.code, 0);
    assert.deepEqual(again.rows, []);
    assertHas((await replay(deployment, String(listed.rows[0]?.['id']))).rows[0], {
      received: 1,
      duplicates: 1,
    });
    assert.equal(await deployment.count(TABLE), 21);
  });

  test('two replays of a thousand records at once, with a drain at work: each row once, and the runs add up', async () => {
    const deployment = await deploymentOf();
    await quarantine(deployment, many(1_000, long), 1_000);
    await mend(deployment);
    await deployment.send(many(300, (i) => event(5_000 + i)));
    const [one, other, drained] = await Promise.all([
      replay(deployment, '--all'),
      replay(deployment, '--all'),
      deployment.cli.run(['drain']),
    ]);
    for (const { code, stderr } of [one, other, drained]) assert.equal(code, 0, stderr);
    const [row] = await deployment.query(
      `select count(*)::int as n, count(distinct event_id)::int as different from ${TABLE}`,
    );
    assert.deepEqual(row, { n: 1_300, different: 1_300 });
    const loaded = [one, other].map(({ rows }) => Number(rows[0]?.['loaded'] ?? 0));
    assert.equal(
      loaded.reduce((sum, n) => sum + n, 0),
      1_000,
    );
    assertAddsUp(await deployment.runs());
    const [loads] = await deployment.query(
      `select sum(l.loaded)::int as loaded from maskline.loads l join maskline.runs r using (run_id)
        where r.trigger = 'replay'`,
    );
    assert.equal(loads?.['loaded'], 1_000);
  });

  test('what the table refuses stays, under its present cause; a dry run says before what would pass, and writes nothing', async () => {
    const deployment = await deploymentOf();
    const bodies = [
      ...many(10, long),
      event(11, { device: undefined }),
      event(12, { note: 'x'.repeat(11), n: 13 }),
    ];
    await quarantine(deployment, bodies, 12);
    await mend(deployment);
    const dry = await deployment.cli.run(['quarantine', 'replay', '--all', '--dry-run']);
    assert.equal(dry.code, 1, 'one would stay');
    assert.deepEqual(dry.rows, [
      {
        ...{ pipeline: PIPELINE, dry_run: true, received: 12, would_pass: 11, would_stay: 1 },
        codes: { missing_field: 1 },
        causes: [
          { code: 'too_long', path: 'note', entries: 11, would_pass: 11, codes: {} },
          { code: 'missing_field', path: 'device', entries: 1, would_pass: 0, codes: { missing_field: 1 } },
        ],
      },
    ]);
    assert.equal(await deployment.count("maskline.runs where trigger = 'replay'"), 0);
    assert.equal(await deployment.count(TABLE), 0);
    const result = await replay(deployment, '--all');
    assert.equal(result.code, 1);
    assertHas(result.rows[0], {
      ...{ received: 12, loaded: 10, duplicates: 0, quarantined: 2, released: 0 },
      codes: { missing_field: 1, refused_23514: 1 },
    });
    assertLeakless(dry, result);
    const left = await list(deployment);
    assert.deepEqual(left.map(({ code, path, kind }) => [code, path, kind]).toSorted(byText), [
      ['missing_field', 'device', 'raw'],
      ['refused_23514', null, 'raw'],
    ]);
    assert.deepEqual(
      (await list(deployment, '--by-code', '--replayed')).map(({ code, open, replayed }) => [
        code,
        open,
        replayed,
      ]),
      [
        ['too_long', 0, 10],
        ['missing_field', 1, 0],
        ['refused_23514', 1, 0],
      ],
    );
  });

  test('causes tell policies apart, with a sample and a command; a dry run of one changes nothing, its replay loads it alone', async () => {
    const deployment = await deploymentOf();
    await quarantine(deployment, [...many(3, long), event(7, { device: '' }), event(8, { device: null })], 5);
    const former = (await list(deployment, '--by-cause')).map((row) => row['policy_sha256']);
    // The column is longer, but the table refuses such values; and one more is too long by the settings of today.
    await mend(deployment);
    await deployment.query(`alter table ${TABLE} add constraint notes check (note in ('short', 'none'))`);
    await quarantine(deployment, [event(9, { note: 'x'.repeat(61) })], 1);
    const causes = await list(deployment, '--by-cause');
    assert.deepEqual(
      causes.map(({ code, path, policy, open, replayed }) => [code, path, policy, open, replayed]),
      [
        ['too_long', 'note', 'former', 3, 0],
        ['missing_field', 'device', 'former', 2, 0],
        ['too_long', 'note', 'today', 1, 0],
      ],
    );
    assert.deepEqual(new Set(former), new Set([causes[0]?.['policy_sha256']]));
    const [cause] = causes;
    const id = String(cause?.['cause']);
    const entries = await list(deployment, '--cause', id);
    assert.equal(entries.length, 3);
    assert.ok(entries.some((entry) => entry['id'] === cause?.['sample_id']));
    assert.match(String(cause?.['remedy']), /migrate plan/);
    const command = String(cause?.['next']).split(' ').slice(1);
    assert.deepEqual(command, ['quarantine', 'replay', '--cause', id, '--dry-run']);

    const before = await deployment.query('select * from maskline.quarantine order by id');
    const unmended = await deployment.cli.run(command);
    assert.equal(unmended.code, 1, 'the table would refuse them still');
    assertHas(unmended.rows[0], { received: 3, would_pass: 0, codes: { out_of_range: 3 } });
    await deployment.query(`alter table ${TABLE} drop constraint notes`);
    const mended = await deployment.cli.run(command);
    assert.equal(mended.code, 0, mended.stderr);
    assertHas(mended.rows[0], { received: 3, would_pass: 3, codes: {} });
    assert.deepEqual(await deployment.query('select * from maskline.quarantine order by id'), before);
    assert.equal(await deployment.count(TABLE), 0);

    assert.equal(
      (await deployment.cli.run(['quarantine', 'replay', '--cause', id])).code,
      2,
      'nobody to ask',
    );
    const replayed = await replay(deployment, '--cause', id);
    assert.equal(replayed.code, 0, replayed.stderr);
    assertHas(replayed.rows[0], { received: 3, loaded: 3 });
    assertLeakless(unmended, mended, replayed);
    assert.equal(await deployment.count('maskline.quarantine where replayed_at is null'), 3);
    for (const args of [['replay'], ['list'], ['purge', '--open']]) {
      const gone = await deployment.cli.run(['quarantine', ...args, '--cause', id]);
      assert.equal(gone.code, 1, 'there is nothing of that cause any more');
      assert.match(gone.stderr, /--by-cause/);
    }
  });

  test('a masked row is replayed as it is; one with a column that the table has lost stays, and says so', async () => {
    const deployment = await deploymentOf();
    await quarantine(deployment, [event(1, { n: 13 })], 1);
    const fate = await deployment.query('select policy_sha256, kids from maskline.loads');
    await deployment.query(`alter table ${TABLE} drop constraint ${PIPELINE}_n_check, drop column note`);
    const { note: _, ...others } = COLUMNS;
    deployment.configurePipeline({ columns: others });
    const lost = await replay(deployment, '--all');
    assert.equal(lost.code, 1);
    assertHas(lost.rows[0], { quarantined: 1, codes: { refused_42703: 1 } });
    assertHas((await list(deployment))[0], { code: 'refused_42703', kind: 'masked' });
    await deployment.query(`alter table ${TABLE} add column note text`);
    const { code, rows, stderr } = await replay(deployment, '--all');
    assert.equal(code, 0, stderr);
    assertHas(rows[0], { loaded: 1 });
    assert.deepEqual(await deployment.query(`select event_id, note, n from ${TABLE}`), [
      { event_id: 'event-1', note: 'short', n: 13 },
    ]);
    // What made the row is on record of the batch that loaded it.
    const loads = await deployment.query(
      'select policy_sha256, kids from maskline.loads where loaded = 1 and quarantined = 0',
    );
    assert.deepEqual(loads, fate);
  });

  test('columns from what came with the message are filled by a replay as they would have been before', async () => {
    const deployment = await deploymentOf({
      ddl: `create table ${TABLE} (message_id text, note varchar(10), tenant text, sent_at timestamptz, received_at timestamptz)`,
      pipeline: {
        columns: {
          message_id: { from: '$message_id', type: 'text' },
          note: { from: 'note', type: 'text', max_length: 10 },
          tenant: { from: '$attributes.tenant', type: 'text' },
          sent_at: { from: '$sent_at', type: 'timestamptz' },
          received_at: { from: '$received_at', type: 'timestamptz' },
        },
      },
    });
    const attributes = { tenant: 'tenant é' };
    const ids = await deployment.sendMessages([
      { body: '{"note":"short"}', attributes },
      { body: '{"note":"longer than ten"}', attributes },
    ]);
    assert.equal((await deployment.cli.run(['drain'])).rows[0]?.['quarantined'], 1);
    const before = await deployment.query('select sent_at from maskline.quarantine');
    deployment.configurePipeline({
      columns: {
        message_id: { from: '$message_id', type: 'text' },
        note: { from: 'note', type: 'text', max_length: 60 },
        tenant: { from: '$attributes.tenant', type: 'text' },
        sent_at: { from: '$sent_at', type: 'timestamptz' },
        received_at: { from: '$received_at', type: 'timestamptz' },
      },
    });
    await deployment.query(`alter table ${TABLE} alter column note type varchar(60)`);
    assert.equal((await replay(deployment, '--all')).code, 0);
    const [first, second] = await deployment.query(`select * from ${TABLE} order by length(note)`);
    assertHas(second, { message_id: ids[1], tenant: 'tenant é', sent_at: before[0]?.['sent_at'] });
    const apart = Number(second?.['received_at']) - Number(first?.['received_at']);
    assert.ok(Math.abs(apart) < 2_000, `received together, and not when it was replayed: ${apart} ms apart`);
  });

  test('an envelope that the setting did not fit is opened by the setting of today', async () => {
    const deployment = await deploymentOf({ pipeline: { source: { envelope: 'sns' } } });
    const wrapped = JSON.stringify({
      ...{ Type: 'Notification', TopicArn: 'arn:aws:sns:eu-west-1:1:t', MessageId: 'm' },
      Message: event(2, { note: 'far too long for it' }),
    });
    await quarantine(deployment, [event(1), wrapped], 2);
    const codes = await list(deployment, '--by-code');
    assert.deepEqual(new Set(codes.map(({ code }) => code)), new Set(['bad_envelope', 'too_long']));
    deployment.configurePipeline({ columns: LONGER, source: { envelope: 'none' } });
    await deployment.query(`alter table ${TABLE} alter column note type varchar(60)`);
    const { code, rows, stderr } = await replay(deployment, '--all');
    assert.equal(code, 0, stderr);
    assertHas(rows[0], { loaded: 2 });
    // And the other way round: taken as it was while it should have been opened.
    await quarantine(deployment, [wrapped], 1);
    assertHas((await list(deployment))[0], { code: 'missing_field', path: 'event_id' });
    deployment.configurePipeline({ source: { envelope: 'auto' } });
    assert.equal((await replay(deployment, '--all')).code, 0);
    assert.equal(await deployment.count(TABLE), 3);
  });

  for (const from of ['$message_id', '$batch_id']) {
    test(`a whole message that now opens to several records is as many rows, or none, or stays; prove agrees by ${from}`, async () => {
      const origin = { origin: { from, type: 'text', max_length: 64 } };
      const deployment = await deploymentOf({
        ddl: DDL.replace('(event_id', '(origin varchar(64), event_id'),
        pipeline: { source: { records: 'one' }, columns: { ...COLUMNS, ...origin } },
      });
      // GIVEN lists that were to be one record each: of good records, with one that masking refuses, with one that the
      // table refuses, and of none; and a record of its own
      const listOf = (...items: readonly string[]): string => `[${items.join(',')}]`;
      const good = Array.from({ length: 1_200 }, (_, i) => event(i));
      const bodies = [
        listOf(...good),
        listOf(event(2_000), event(2_001, { device: '' }), event(2_002)),
        listOf(event(3_000), event(3_001, { n: 13 }), event(3_002)),
        '[]',
        event(4_000, { note: 'far too long for it' }),
      ];
      await quarantine(deployment, bodies, 5);
      const prove = async (): Promise<void> => {
        const { code, stdout, stderr } = await deployment.cli.run(['prove']);
        assert.equal(code, 0, stdout + stderr);
      };
      await prove();
      // WHEN the settings are mended, and all is replayed
      deployment.configurePipeline({ source: { records: 'auto' } });
      const dry = await deployment.cli.run(['--yes', 'quarantine', 'replay', '--all', '--dry-run']);
      assertHas(dry.rows[0], { received: 5, would_pass: 3 });
      const replayed = await replay(deployment, '--all');
      // THEN entries are loaded whole, or stay whole with the first reason; records are what is counted
      assert.equal(replayed.code, 1, replayed.stderr);
      assertHas(replayed.rows[0], {
        received: 1_203,
        loaded: 1_200,
        duplicates: 0,
        quarantined: 3,
        released: 0,
      });
      assert.equal(await deployment.count(TABLE), 1_200);
      const open = (await list(deployment)).map(({ code, path }) => `${String(code)} ${String(path)}`);
      assert.deepEqual(open.sort(byText), ['missing_field device', 'refused_23514 null', 'too_long note']);
      assert.equal(await deployment.count('maskline.quarantine where replayed_at is not null'), 2);
      assertAddsUp(await deployment.runs());
      await prove();
      // AND a second replay loads nothing again, also when notes are all that is left of the entries
      await deployment.cli.run(['--yes', 'quarantine', 'purge', '--all']);
      assertHas((await replay(deployment, '--all')).rows[0], { received: 3, loaded: 0, quarantined: 3 });
      await prove();
      assert.equal(await deployment.count(TABLE), 1_200);
    });
  }

  test('show tells all but the content; unsealed, that too, after who looked and why is on record', async () => {
    const deployment = await deploymentOf();
    const body = `{"event_id":"event-1","device":"${CANARY}","note":"\\ud800 ${'x'.repeat(12)}"}`;
    await deployment.sendMessages([{ body, attributes: { tenant: 't' } }]);
    await quarantine(deployment, [event(2, { n: 13, note: null })], 2);
    const rows = await list(deployment);
    const raw = rows.find(({ kind }) => kind === 'raw');
    const masked = rows.find(({ kind }) => kind === 'masked');
    const id = String(raw?.['id']);
    const closed = await deployment.cli.run(['quarantine', 'show', id]);
    assert.equal(closed.code, 0, closed.stderr);
    assertHas(closed.rows[0], { id, code: 'bad_text', path: 'note', kid: 1 });
    assert.ok(String(closed.rows[0]?.['remedy']).length > 10);
    assertLeakless(closed);
    for (const args of [['--unseal'], ['--unseal', '--reason', ' '], ['--reason', 'ticket 7']]) {
      const refused = await deployment.cli.run(['quarantine', 'show', id, ...args]);
      assert.equal(refused.code, 2);
      assertLeakless(refused);
    }
    // Quiet as it may be, this goes on record, and without the content.
    const open = await deployment.cli.run([
      '--log-level',
      'silent',
      'quarantine',
      'show',
      id,
      '--unseal',
      '--reason',
      'ticket 7',
    ]);
    assert.equal(open.code, 0, open.stderr);
    assertHas(open.rows[0], { id, body, attributes: { tenant: 't' }, group_id: null, sequence_number: null });
    assert.equal(open.log.length, 1);
    assertHas(open.log[0], {
      ...{ event: 'quarantine_unsealed', user: userInfo().username, host: hostname() },
      ...{ reason: 'ticket 7', records: 1, ids: [id], pipelines: [PIPELINE] },
    });
    assert.ok(!open.stderr.includes(CANARY));
    const row = await deployment.cli.run([
      'quarantine',
      'show',
      String(masked?.['id']),
      '--unseal',
      '--reason',
      'ticket 7',
    ]);
    const shown = row.rows[0]?.['row'] as Json;
    assertHas(shown, { event_id: 'event-2', note: null, n: '13' });
    assert.match(String(shown['device']), /^s1\./);
    assertLeakless(row);
    // Nothing is shown without its key.
    await deployment.query('update maskline.quarantine set kid = 9 where id = $1', [id]);
    const locked = await deployment.cli.run(['quarantine', 'show', id, '--unseal', '--reason', 'ticket 7']);
    assert.equal(locked.code, 1);
    assertHas(locked.rows[0], { unseal_error: 'key_unavailable' });
    assert.equal((await deployment.cli.run(['quarantine', 'show', 'ffff'])).code, 1);
    assert.equal((await deployment.cli.run(['quarantine', 'show', 'none'])).code, 2);
  });

  test('export writes JSON lines to stdout or a new private file, closed unless a reason is given', async () => {
    const deployment = await deploymentOf();
    await quarantine(deployment, [...many(600, long), event(1, { device: 7 })], 601);
    const closed = await deployment.cli.run(['quarantine', 'export', '--all']);
    assert.equal(closed.code, 0, closed.stderr);
    assert.equal(closed.rows.length, 601);
    assertLeakless(closed);
    const file = join(deployment.dir, 'export.jsonl');
    const args = ['quarantine', 'export', '--all', '--code', 'too_long', '--to', file];
    const open = await deployment.cli.run([...args, '--unseal', '--reason', 'ticket 7']);
    assert.equal(open.code, 0, open.stderr);
    assert.equal(open.stdout, '');
    assertHas(
      open.log.find(({ event: name }) => name === 'quarantine_unsealed'),
      { records: 600, reason: 'ticket 7' },
    );
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const lines = readFileSync(file, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Json);
    assert.deepEqual(new Set(lines.map(({ body }) => body)), new Set(many(600, long)));
    writeFileSync(file, 'mine');
    assert.equal((await deployment.cli.run(args)).code, 2);
    assert.equal(readFileSync(file, 'utf8'), 'mine');
    assert.equal((await deployment.cli.run(['quarantine', 'export'])).code, 2, 'not everything by mistake');
    assert.equal((await list(deployment)).length, 20);
    assert.equal((await list(deployment, '--all')).length, 601);
    assert.equal((await list(deployment, '--limit', '3')).length, 3);
    assert.equal((await list(deployment, '--since', '2000-01-01', '--code', 'wrong_type')).length, 1);
    assert.equal((await deployment.cli.run(['quarantine', 'list', '--code', 'to_long'])).code, 2);
  });

  test('purge deletes replayed entries, and open ones only when told so', async () => {
    const deployment = await deploymentOf();
    await quarantine(deployment, [...many(5, long), event(9, { device: 7 }), event(10, { device: 7 })], 7);
    await mend(deployment);
    await replay(deployment, '--all', '--code', 'too_long', '--limit', '4');
    const purge = (...args: string[]): Promise<CliResult> =>
      deployment.cli.run(['quarantine', 'purge', ...args]);
    assert.equal((await purge()).code, 2);
    assert.equal((await purge('--all', '--yes')).code, 2, 'which ones?');
    assert.equal((await purge('--all', '--replayed')).code, 2, 'nobody to ask');
    assertHas((await purge('--all', '--open', '--dry-run')).rows[0], { dry_run: true, would_delete: 3 });
    assert.equal(await deployment.count('maskline.quarantine'), 7);
    assertHas((await purge('--all', '--replayed', '--yes')).rows[0], { deleted: 4 });
    assert.equal(await deployment.count('maskline.quarantine where replayed_at is null'), 3);
    const [{ id = '' } = {}] = await list(deployment, '--code', 'wrong_type');
    const unasked = await purge(String(id));
    assert.equal(unasked.code, 2);
    assert.match(unasked.stderr, /gone for good/);
    const named = await purge(String(id), '--yes');
    assertHas(named.rows[0], { deleted: 1 });
    assertHas(named.log[0], { event: 'quarantine_purged', records: 1, ids: [id] });
    assertHas((await purge('--all', '--open', '--yes')).rows[0], { deleted: 2 });
    assert.equal(await deployment.count('maskline.quarantine'), 0);
    assert.equal(await deployment.count(TABLE), 4);
  });

  test('one entry whose key is gone, or whose bytes were altered, stops none of the others', async () => {
    const deployment = await deploymentOf();
    await quarantine(deployment, many(5, long), 5);
    await mend(deployment);
    await deployment.query(
      `update maskline.quarantine set kid = 9 where id = (select min(id::text) from maskline.quarantine)::uuid`,
    );
    await deployment.query(
      `update maskline.quarantine set sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1)
        where id = (select max(id::text) from maskline.quarantine)::uuid`,
    );
    // Nor may a raw body be replayed unmasked by who says that it is masked.
    await deployment.query(
      `update maskline.quarantine set kind = 'masked' where id in
        (select id from maskline.quarantine where kid = 1 order by id limit 1)`,
    );
    const result = await replay(deployment, '--all');
    assert.equal(result.code, 1);
    assertHas(result.rows[0], {
      ...{ state: 'succeeded', received: 5, loaded: 2, quarantined: 3 },
      codes: { key_unavailable: 1, payload_corrupt: 2 },
    });
    assertLeakless(result);
    assert.deepEqual(
      (await list(deployment)).map(({ code }) => code),
      ['too_long', 'too_long', 'too_long'],
    );
  });

  test('entries of a pipeline that the file does not have, or that ended a worker, are left out of --all and named', async () => {
    const deployment = await deploymentOf();
    await quarantine(deployment, many(3, long), 3);
    await mend(deployment);
    const ids = (await list(deployment)).map(({ id }) => String(id));
    await deployment.query("update maskline.quarantine set pipeline = 'gone' where id = $1", [ids[0]]);
    await deployment.query("update maskline.quarantine set code = 'crashed_worker' where id = $1", [ids[1]]);
    const result = await replay(deployment, '--all');
    assert.equal(result.code, 1, 'not all was loaded');
    assertHas(result.rows[0], { received: 1, loaded: 1 });
    assert.match(result.stderr, /1 open records of gone/);
    assert.match(result.stderr, /1 records of code crashed_worker/);
    assert.equal((await replay(deployment, ids[0] ?? '')).code, 2);
    assert.equal((await replay(deployment, '--all', '--code', 'crashed_worker', '-p', PIPELINE)).code, 0);
    assert.equal((await list(deployment, '-p', 'gone')).length, 1);
  });

  test('a table or schema that is unfit is exit 2 before an entry is touched; off a terminal --all needs --yes', async () => {
    const deployment = await deploymentOf();
    await quarantine(deployment, [long(1)], 1);
    deployment.configurePipeline({ columns: LONGER });
    const unfit = await replay(deployment, '--all');
    assert.equal(unfit.code, 2);
    assert.match(unfit.stderr, /alter table/);
    await mend(deployment);
    const unasked = await deployment.cli.run(['quarantine', 'replay', '--all']);
    assert.equal(unasked.code, 2);
    assert.match(unasked.stderr, /1 records of user_logins \(too_long 1\)/);
    assert.equal(await deployment.count("maskline.runs where trigger = 'replay'"), 0);
  });

  test('with the rights of the operator, and no others, all of it works', async () => {
    const deployment = await deploymentOf();
    await applyRoles(deployment.database);
    await allowLogins(deployment.database);
    await deployment.query(`grant insert on ${TABLE} to maskline_operator`);
    const operator = urlAs(deployment.database, DATABASE_ROLES.admin);
    await quarantine(deployment, [...many(3, long), event(4, { device: 7 })], 4);
    await mend(deployment);
    deployment.configure((config) => ({ ...config, database: { roles: { admin: operator } } }));
    const replayed = await replay(deployment, '--all');
    assert.equal(replayed.code, 1, replayed.stderr);
    assertHas(replayed.rows[0], { loaded: 3, quarantined: 1 });
    assert.equal((await deployment.cli.run(['quarantine', 'export', '--all'])).rows.length, 1);
    const purged = await deployment.cli.run([
      '--yes',
      'quarantine',
      'purge',
      '--all',
      '--open',
      '--replayed',
    ]);
    assert.equal(purged.rows[0]?.['deleted'], 4, purged.stderr);
  });

  test('a replay that the table stops has its report, and its entries stay as they are', async () => {
    const deployment = await deploymentOf();
    await quarantine(deployment, many(4, long), 4);
    await mend(deployment);
    await deployment.query(
      `create function drops() returns trigger language plpgsql as $$ begin return null; end $$;
       create trigger drops before insert on ${TABLE} for each row execute function drops()`,
    );
    const { code, stderr } = await replay(deployment, '--all');
    assert.equal(code, 1);
    assert.match(stderr, /trigger/);
    const states = await deployment.query(
      `select r.state, r.received::int, r.released::int, l.state as fate, l.released as batch
         from maskline.runs r join maskline.loads l using (run_id) where trigger = 'replay'`,
    );
    assert.deepEqual(states, [{ state: 'failed', received: 4, released: 4, fate: 'released', batch: 4 }]);
    assert.equal((await list(deployment)).length, 4);
  });

  test('stopped by a signal, a replay prints its report and exits 1; killed, it leaves nothing half; run again, it ends the same', async () => {
    const deployment = await deploymentOf();
    await quarantine(deployment, many(700, long), 700);
    await mend(deployment);
    await whileLocked(deployment, async () => {
      const killed = deployment.cli.spawn(['--yes', 'quarantine', 'replay', '--all']);
      await replayWaits(deployment);
      await killed.kill();
    });
    assert.equal(await deployment.count(TABLE), 0);
    const stopped = await whileLocked(deployment, async () => {
      const process = deployment.cli.spawn(['--yes', 'quarantine', 'replay', '--all']);
      await replayWaits(deployment);
      process.signal('SIGTERM');
      await process.waitFor('stopping');
      return process;
    });
    const { code, rows, stderr } = await stopped.ended;
    assert.equal(code, 1, stderr);
    assertHas(rows[0], { state: 'canceled', received: 500, loaded: 500 });
    const again = await replay(deployment, '--all');
    assert.equal(again.code, 0, again.stderr);
    assertHas(again.rows[0], { received: 200, loaded: 200 });
    const [row] = await deployment.query(
      `select count(*)::int as n, count(distinct event_id)::int as d from ${TABLE}`,
    );
    assert.deepEqual(row, { n: 700, d: 700 });
  });
});

test('an outage of Postgres in the middle is waited out', async () => {
  const deployment = await deploymentOf();
  await quarantine(deployment, many(100, long), 100);
  await mend(deployment);
  const waiting = await whileLocked(deployment, async () => {
    const process = deployment.cli.spawn(['--yes', 'quarantine', 'replay', '--all']);
    await replayWaits(deployment);
    await stack.postgres.server.restart({ mode: 'immediate' });
    await process.waitFor('outage_waiting');
    return process;
  });
  const { code, rows, stderr } = await waiting.ended;
  assert.equal(code, 0, stderr);
  assertHas(rows[0], { state: 'succeeded', received: 100, loaded: 100 });
  assert.equal(await deployment.count(TABLE), 100);
});
