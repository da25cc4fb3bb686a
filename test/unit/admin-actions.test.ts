import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { PipelineError } from '../../src/errors.js';
import { readRequest } from '../../src/ops/admin/actions.js';
import { type AdminServerOptions, startAdminServer } from '../../src/ops/admin/server.js';
import { Tickets } from '../../src/ops/admin/tickets.js';
import type { HttpServer } from '../../src/ops/http.js';
import { LoginLimit } from '../../src/ops/login-limit.js';
import { adminOptions, boardOf, notingActions } from '../support/admin.js';
import { type Reply, ask, basic } from '../support/http.js';

const JOB_ID = '019ca8c0-0000-7000-8000-00000000000a';
const CONFIRM = '/confirm?action=retry&pipeline=user_logins&stage=load&code=table_unfit';
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const OURS = { ...FORM, 'sec-fetch-site': 'same-origin' };

async function serve(t: TestContext, over: Partial<AdminServerOptions> = {}): Promise<HttpServer> {
  const server = await startAdminServer(adminOptions(over));
  t.after(() => server.stop('hard'));
  return server;
}

async function ticketOf({ port }: HttpServer, path = CONFIRM, headers = {}): Promise<string> {
  const { text } = await ask(port, path, { headers });
  return /name="ticket" value="([\w-]+)"/.exec(text)?.[1] ?? assert.fail(text);
}

const answer = ({ port }: HttpServer, ticket: string, headers: object = OURS, rest = ''): Promise<Reply> =>
  ask(port, '/actions', {
    method: 'POST',
    headers: { ...headers },
    body: `ticket=${ticket}${rest}`,
  });

test('an action is asked for first, done once, and told of afterwards', async (t) => {
  const actions = notingActions();
  const server = await serve(t, { actions });
  const question = await ask(server.port, CONFIRM);
  assert.match(question.text, /Retry 3 failed jobs\?/);
  assert.match(String(question.headers['content-security-policy']), /form-action 'self'/);
  assert.equal(actions.performed.length, 0, 'a look does nothing');
  const ticket = await ticketOf(server);
  const done = await answer(server, ticket, OURS, '&reason=moving%0Ahouse');
  assert.deepEqual([done.status, done.headers['location']], [303, `/done/${ticket}`]);
  const [performed] = actions.performed;
  assert.deepEqual([performed?.by, performed?.reason], ['loopback', 'moving house']);
  const { until: _, ...request } = (performed?.request ?? {}) as { until?: string };
  assert.deepEqual(request, {
    ...{ action: 'retry', pipeline: 'user_logins', stage: 'load', code: 'table_unfit', ids: null },
  });
  assert.match((await ask(server.port, `/done/${ticket}`)).text, /Retried: received 1500, loaded 1500/);
  const again = await answer(server, ticket);
  assert.equal(again.status, 403);
  assert.match(again.text, /not open any more/);
  assert.equal(actions.performed.length, 1);
});

test('what changes something is taken from pages of this server only: all else is 403, and nothing is done', async (t) => {
  const actions = notingActions();
  const server = await serve(t, { actions, queues: [boardOf({ failed: [JOB_ID] })] });
  const here = `http://127.0.0.1:${server.port}`;
  const foreign: readonly Readonly<{ [name: string]: string }>[] = [
    {},
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site', origin: here },
    { 'sec-fetch-site': 'none' },
    { origin: 'https://evil.example.com' },
    { origin: 'null' },
    { origin: `http://127.0.0.1:${server.port + 1}` },
    { origin: `http://localhost.evil.example.com:${server.port}` },
  ];
  for (const headers of foreign) {
    const reply = await answer(server, await ticketOf(server), { ...FORM, ...headers });
    assert.equal(reply.status, 403, JSON.stringify(headers));
  }
  for (const path of [`load.user_logins/${JOB_ID}/retry`, 'load.user_logins/clean/failed']) {
    for (const headers of [
      ...foreign,
      { 'sec-fetch-site': 'same-origin' },
      { 'x-xsrf-token': 'guess', origin: here },
    ]) {
      const reply = await ask(server.port, `/queues/api/queues/${path}`, { method: 'PUT', headers });
      assert.equal(reply.status, 403, JSON.stringify(headers));
    }
  }
  assert.equal(actions.performed.length, 0);
  assert.equal((await answer(server, await ticketOf(server), { ...FORM, origin: here })).status, 303);
});

test('a page that rebinds DNS to this machine gets neither a question nor an action', async (t) => {
  const actions = notingActions();
  const server = await serve(t, { actions });
  const host = `rebound.example.com:${server.port}`;
  const ticket = await ticketOf(server);
  assert.equal((await ask(server.port, CONFIRM, { headers: { host } })).status, 403);
  const reply = await answer(server, ticket, { ...OURS, host, origin: `http://${host}` });
  assert.equal(reply.status, 403);
  assert.equal(actions.performed.length, 0);
});

test('elsewhere than on loopback an action needs the credentials, and is noted under their user', async (t) => {
  const actions = notingActions();
  const auth = { user: 'ops', password: 'correct horse' };
  const server = await serve(t, { actions, host: '0.0.0.0', auth });
  const login = basic(auth.user, auth.password);
  assert.equal((await ask(server.port, CONFIRM)).status, 401);
  const ticket = await ticketOf(server, CONFIRM, login);
  assert.equal((await answer(server, ticket)).status, 401);
  assert.equal((await answer(server, ticket, { ...OURS, ...login })).status, 303);
  assert.deepEqual(
    actions.performed.map(({ by }) => by),
    ['ops'],
  );
});

test('large bodies, other methods and what is no action are refused', async (t) => {
  const actions = notingActions();
  const server = await serve(t, { actions });
  const large = await answer(server, 'x'.repeat(20_000));
  assert.equal(large.status, 413);
  for (const method of ['PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']) {
    assert.equal((await ask(server.port, '/actions', { method, headers: OURS })).status, 405, method);
  }
  for (const path of [
    '/confirm',
    '/confirm?action=obliterate&pipeline=a',
    '/confirm?action=retry&pipeline=../a',
  ]) {
    assert.equal((await ask(server.port, path)).status, 400, path);
  }
  assert.equal((await ask(server.port, '/done/nothing')).status, 404);
  assert.equal(actions.performed.length, 0);
});

test('without allow_actions there is nothing to answer, and no button', async (t) => {
  const server = await serve(t);
  assert.equal((await ask(server.port, CONFIRM)).status, 404);
  assert.equal((await answer(server, 'any')).status, 405);
  assert.doesNotMatch((await ask(server.port, '/')).text, /\/confirm/);
});

test('what can not be done says why and by what command it can, and gives no ticket', async (t) => {
  const refused = await serve(t, { actions: notingActions({ refusal: 'this process has no keys' }) });
  const { text } = await ask(refused.port, CONFIRM);
  assert.match(text, /Not from here: this process has no keys/);
  assert.doesNotMatch(text, /ticket|<button/);
  const away = new PipelineError('postgres_unavailable', 'Postgres at h:5432 does not answer');
  const failing = await serve(t, {
    actions: { ...notingActions(), perform: () => Promise.reject(away) },
  });
  const reply = await answer(failing, await ticketOf(failing));
  assert.equal(reply.status, 503);
  assert.match(reply.text, /Postgres at h:5432 does not answer/);
  const leaking = await serve(t, {
    actions: { ...notingActions(), plan: () => Promise.reject(new Error('detail: ann@example.com')) },
  });
  assert.doesNotMatch((await ask(leaking.port, CONFIRM)).text, /ann@/);
});

test('what Bull Board asks for at once is one retry of ours, and what it knows besides is refused', async (t) => {
  const ids = [1, 2, 3].map((n) => `019ca8c0-0000-7000-8000-00000000000${n}`);
  const actions = notingActions();
  const server = await serve(t, { actions, queues: [boardOf({ failed: ids })] });
  const cookie = String((await ask(server.port, '/queues')).headers['set-cookie']);
  assert.match(cookie, /Path=\/queues; SameSite=Strict/);
  const token = /XSRF-TOKEN=([^;]+)/.exec(cookie)?.[1] ?? '';
  const act = (path: string, method = 'PUT'): Promise<Reply> =>
    ask(server.port, `/queues/api/queues/${path}`, {
      method,
      headers: { 'x-xsrf-token': token, cookie, 'sec-fetch-site': 'same-origin' },
    });
  assert.equal((await act('load.user_logins/retry/failed')).status, 200);
  assert.equal((await act(`load.user_logins/${JOB_ID}/retry`)).status, 404);
  assert.equal((await act(`load.user_logins/${ids[0] ?? ''}/clean`)).status, 204);
  assert.equal((await act('load.user_logins/clean/failed')).status, 200);
  const performed = actions.performed.map(
    ({ request }) => request as { action: string; ids: string[] | null },
  );
  assert.deepEqual(
    performed.map((request) => [request.action, request.ids]),
    [
      ['retry', ids],
      ['discard', [ids[0]]],
      ['discard', null],
    ],
  );
  for (const path of ['pause', 'resume', 'empty', 'promote', 'obliterate', 'concurrency', 'rate-limit']) {
    assert.equal((await act(`load.user_logins/${path}`)).status, 405, path);
  }
  assert.equal((await act('pause')).status, 405);
  assert.equal((await act(`load.user_logins/${ids[0] ?? ''}/promote`)).status, 405);
  assert.equal((await act('load.user_logins/add', 'POST')).status, 405);
  assert.ok((await act('load.user_logins/clean/waiting')).status >= 400);
  await act('load.user_logins/retry/completed');
  assert.equal(actions.performed.length, 3);
});

test('a ticket is good once, for who got it, for ten minutes', () => {
  let now = 0;
  const tickets = new Tickets(() => now);
  const request = readRequest({ action: 'pause', pipeline: 'a' }, 0) ?? assert.fail('it is a request');
  const first = tickets.issue(request, 'ann');
  assert.equal(tickets.spend(first, 'bob'), null);
  assert.equal(tickets.spend(first, 'ann'), request);
  assert.equal(tickets.spend(first, 'ann'), null);
  const second = tickets.issue(request, 'ann');
  now += 10 * 60_000;
  assert.equal(tickets.spend(second, 'ann'), null);
  assert.equal(tickets.spend('', 'ann'), null);
  const third = tickets.issue(request, 'ann');
  for (let made = 0; made < 1_000; made += 1) tickets.issue(request, 'mallory');
  assert.equal(tickets.spend(third, 'ann'), null, 'the memory is bounded');
});

test('failed logins are counted by address, within a minute, for a bounded number of addresses', () => {
  let now = 0;
  const limit = new LoginLimit(() => now);
  for (let failed = 0; failed < 10; failed += 1) {
    assert.equal(limit.waitS('a'), 0);
    limit.failed('a');
  }
  assert.equal(limit.waitS('a'), 60);
  assert.equal(limit.waitS('b'), 0);
  now += 59_001;
  assert.equal(limit.waitS('a'), 1);
  now += 1_000;
  assert.equal(limit.waitS('a'), 0);
  limit.failed('a');
  assert.equal(limit.waitS('a'), 0, 'it begins anew');
  for (let other = 0; other < 10_001; other += 1) limit.failed(`address ${other}`);
  assert.equal(limit.waitS('a'), 0);
});
