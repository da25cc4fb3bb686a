import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { systemClock } from '../../src/clock.js';
import type { NotifyConfig } from '../../src/config/config.js';
import { Secret } from '../../src/config/secret.js';
import { type PostgresPool, createPool } from '../../src/load/connection.js';
import type { PipelineStatus } from '../../src/ops/status.js';
import { look, startNotifier } from '../../src/roles/notifier.js';
import type { Json } from '../support/cli.js';
import { Seen, eventually } from '../support/queue.js';
import { startHere } from '../support/role-here.js';
import { PIPELINE, type Stack, startStack } from '../support/stack.js';
import { pipelineStatus, statusOf } from '../support/status.js';

/** A request as the webhook got it. */
interface Told {
  readonly body: Json;
  readonly headers: IncomingMessage['headers'];
}

const OPENED = '2026-03-01T11:00:00.000Z';
const OPEN = { breaker: 'open', breaker_since: OPENED, breaker_reason: 'a reason' } as const;
const SECRET = 's3cr3t-of-the-hook';

let stack: Stack;
let pool: PostgresPool;
let told = new Seen<Told>();
let answer: (response: ServerResponse) => void = ok;

const server = createServer((request, response) => {
  let text = '';
  request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  request.on('end', () => {
    told.push({ body: JSON.parse(text) as Json, headers: request.headers });
    answer(response);
  });
});

function ok(response: ServerResponse): void {
  response.writeHead(204).end();
}

before(async () => {
  stack = await startStack();
  pool = createPool({ url: await stack.postgres.migratedDatabase(), applicationName: 'test', max: 4 });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
after(async () => {
  server.closeAllConnections();
  await Promise.all([pool.close(), stack.stop(), new Promise((resolve) => server.close(resolve))]);
});
afterEach(async () => {
  told = new Seen<Told>();
  answer = ok;
  await pool.query('truncate maskline.notices, maskline.quarantine');
});

function webhook(): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook/${SECRET}`;
}

function notifyOf(over: Partial<NotifyConfig> = {}): NotifyConfig {
  return {
    webhook: new Secret(webhook()),
    headers: { authorization: new Secret(`Bearer ${SECRET}`) },
    on: ['breaker', 'overdue', 'quarantine'],
    quarantineGrowth: 100,
    ...over,
  };
}

/** Looks once, as a process does that sees this of its pipelines. */
async function see(
  pipelines: readonly Partial<PipelineStatus>[],
  over: Partial<NotifyConfig> = {},
  { timeoutMs = 5_000, signal = new AbortController().signal } = {},
): Promise<readonly Json[]> {
  const log: Json[] = [];
  const note = (fields: object, text = ''): void => void log.push({ ...fields, text });
  const status = statusOf({ pipelines: pipelines.map((one) => pipelineStatus(one)) });
  const notify = notifyOf(over);
  const parts = { config: { notify }, clock: systemClock, pool, timeoutMs };
  await look(
    { ...parts, notify, log: { info: note, warn: note }, read: () => Promise.resolve(status) },
    signal,
  );
  return log;
}

/** What was put off is due. */
const letTimePass = (): Promise<unknown> => pool.query('update maskline.notices set due_at = now()');

const said = (): readonly string[] =>
  told.all.map(({ body }) => `${String(body['kind'])} ${String(body['state'])}`);

async function quarantine(count: number, agedMs = 0): Promise<void> {
  await pool.query(
    `insert into maskline.quarantine
       (id, pipeline, record_id, message_id, batch_id, code, path, kind, sealed, kid, sent_at, quarantined_at)
     select gen_random_uuid(), $1, n::text, n::text, gen_random_uuid(), 'too_long', 'note', 'raw', '\\x00', 1, now(),
            now() - $3 * interval '1 millisecond'
       from generate_series(1, $2::int) as n`,
    [PIPELINE, count, agedMs],
  );
}

test('what begins is told once, however often and by however many it is seen, and so is its end', async () => {
  await see([{}]);
  assert.deepEqual(said(), [], 'nothing is wrong');
  await Promise.all([see([OPEN]), see([OPEN]), see([OPEN])]);
  await see([OPEN]);
  assert.deepEqual(said(), ['breaker open']);
  const [first] = told.all;
  assert.equal(first?.headers['authorization'], `Bearer ${SECRET}`);
  assert.match(String(first?.headers['content-type']), /^application\/json/);
  const { id, text, at: _, ...rest } = first?.body ?? {};
  assert.deepEqual(rest, {
    ...{ kind: 'breaker', state: 'open', pipeline: PIPELINE, since: OPENED, quarantined: {} },
    next: `maskline quarantine list -p ${PIPELINE} --by-cause`,
  });
  assert.match(String(text), /breaker of user_logins has been open since .*schedule resume user_logins/);
  await Promise.all([see([{}]), see([{}])]);
  await see([{}]);
  assert.deepEqual(said(), ['breaker open', 'breaker over']);
  assert.equal(told.all[1]?.body['id'], id);
  // And the next time is another.
  await see([OPEN]);
  assert.equal(told.all.length, 3);
  assert.notEqual(told.all[2]?.body['id'], id);
});

test('each pipeline and each kind is told of its own; kinds that nobody asked for are not', async () => {
  const late = { overdue_since: OPENED };
  await see([
    { ...OPEN, pipeline: 'a' },
    { ...late, pipeline: 'b' },
  ]);
  assert.deepEqual([...said()].toSorted(), ['breaker open', 'overdue open']);
  await see([{ ...late, pipeline: 'c' }], { on: ['breaker'] });
  assert.equal(told.all.length, 2);
  // What is not known is no end.
  await see([{ breaker: null, overdue_since: null, pipeline: 'a' }]);
  assert.equal(told.all.length, 2);
  // What is not asked for any more ends without a word.
  await see([{ ...late, pipeline: 'b' }], { on: ['breaker'] });
  assert.equal(told.all.length, 2);
});

test('the quarantine grows from so many fresh open records on until they are fewer than half as many', async () => {
  await quarantine(500, 2 * 3_600_000);
  await quarantine(99);
  const codes = { quarantine: { open: 599, codes: { too_long: 599 }, capped: false } };
  await see([codes]);
  assert.deepEqual(said(), []);
  await quarantine(1);
  await see([codes]);
  assert.deepEqual(said(), ['quarantine open']);
  assert.deepEqual(told.all[0]?.body['quarantined'], { too_long: 599 });
  assert.match(String(told.all[0]?.body['text']), /grows: 599 open records \(too_long 599\)/);
  await pool.query(
    `update maskline.quarantine set replayed_at = now() where id in
      (select id from maskline.quarantine where quarantined_at > now() - interval '1 hour' limit 50)`,
  );
  await see([codes]);
  assert.deepEqual(said(), ['quarantine open']);
  await pool.query(
    `update maskline.quarantine set replayed_at = now() where quarantined_at > now() - interval '1 hour'`,
  );
  await see([codes]);
  assert.deepEqual(said(), ['quarantine open', 'quarantine over']);
});

test('a webhook that answers 500, hangs, redirects or is away is tried again later, and its URL is in no log', async () => {
  const failures: readonly (readonly [RegExp, (response: ServerResponse) => void])[] = [
    [/HTTP 500/, (response) => response.writeHead(500).end(SECRET)],
    [/HTTP 307, which is not followed/, (response) => response.writeHead(307, { location: webhook() }).end()],
    [/timeout/, () => undefined],
    [/ECONNRESET|UND_ERR_SOCKET|error/, (response) => response.destroy()],
  ];
  let attempt = 0;
  for (const [why, failing] of failures) {
    answer = failing;
    const log = await see([OPEN], {}, { timeoutMs: 300 });
    attempt += 1;
    assert.match(String(log[0]?.['text']), why);
    assert.equal(log[0]?.['attempt'], attempt);
    assert.ok(!JSON.stringify(log).includes(SECRET));
    assert.equal(told.all.length, attempt, 'asked once, and nobody else');
    // Not before its time, which comes later each time.
    await see([OPEN]);
    assert.equal(told.all.length, attempt);
    await letTimePass();
  }
  const away = await see([OPEN], { webhook: new Secret('http://127.0.0.1:9/') });
  assert.match(String(away[0]?.['text']), /ECONNREFUSED|error/);
  await letTimePass();
  answer = ok;
  await see([OPEN]);
  await letTimePass();
  await see([OPEN]);
  assert.equal(told.all.length, failures.length + 1, 'told at last, and once');
  assert.equal(new Set(told.all.map(({ body }) => body['id'])).size, 1);
});

test('what was over before anybody was asked to hear of it is forgotten; what may have been heard is ended', async () => {
  const stopped = AbortSignal.abort();
  await see([OPEN], {}, { signal: stopped });
  await pool.query(
    `insert into maskline.notices (pipeline, kind, state, since) values ($1, 'breaker', 'to_tell', now())`,
    [PIPELINE],
  );
  await see([{}]);
  assert.deepEqual(said(), []);
  answer = (response) => response.writeHead(500).end();
  await see([OPEN]);
  answer = ok;
  await see([{}]);
  assert.deepEqual(said(), ['breaker open', 'breaker over']);
  assert.deepEqual((await pool.query('select * from maskline.notices')).rows, []);
});

test('a notifier stops at once while the webhook hangs, and there is none without a webhook', async () => {
  answer = () => undefined;
  const status = statusOf({ pipelines: [pipelineStatus(OPEN)] });
  const log = { info: () => undefined, warn: () => undefined };
  const parts = { clock: systemClock, pool, log, read: () => Promise.resolve(status) };
  assert.equal(startNotifier({ ...parts, config: { notify: null } }), null);
  const notifier = startNotifier({ ...parts, config: { notify: notifyOf() } });
  await told.take(1);
  const from = performance.now();
  await notifier?.stop();
  assert.ok(performance.now() - from < 900, 'it did not wait for the limit');
});

test('two admin processes with the rights of theirs tell once that a breaker opened, and once that it is closed', async () => {
  const deployment = await stack.deployment({
    roles: true,
    file: { notify: { webhook: webhook(), headers: { 'x-key': SECRET } } },
  });
  const env = deployment.environmentOf('admin');
  await deployment.query(
    `insert into maskline.breaker (pipeline, state, reason) values ($1, 'open', 'by the test')`,
    [PIPELINE],
  );
  const admins = await Promise.all(
    ['one', 'two'].map((owner) => startHere(deployment, 'admin', { env, owner })),
  );
  try {
    const [first] = await told.take(1, undefined, 30_000);
    assert.equal(first?.headers['x-key'], SECRET);
    assert.equal(first?.body['kind'], 'breaker');
    await deployment.countUntil("maskline.notices where state = 'told'", (n) => n === 1);
    await deployment.query("update maskline.breaker set state = 'closed'");
    await told.take(1, ({ body }) => body['state'] === 'over', 60_000);
    await eventually(
      () => deployment.count('maskline.notices'),
      (n) => n === 0,
    );
    assert.deepEqual(said(), ['breaker open', 'breaker over']);
    const lines = admins.flatMap(({ log }) => log.all);
    assert.equal(lines.filter(({ event }) => event === 'notice_sent').length, 2);
    assert.ok(!JSON.stringify(lines).includes(SECRET));
  } finally {
    await Promise.all(admins.map((admin) => admin.stop()));
  }
});
