import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { PipelineError } from '../../src/errors.js';
import { type AdminServerOptions, startAdminServer } from '../../src/ops/admin/server.js';
import type { HttpServer } from '../../src/ops/http.js';
import type { BoardQueue } from '../../src/queue/board.js';
import { ask, basic } from '../support/http.js';
import { adminOptions, viewsOf } from '../support/admin.js';
import { statusOf } from '../support/status.js';

const AUTH = { user: 'ops', password: 'correct horse' };
const JOB_ID = '019ca8c0-0000-7000-8000-00000000000a';

const queue: BoardQueue = {
  name: 'transform.user_logins',
  counts: () => Promise.resolve({ active: 0, waiting: 0, delayed: 0, failed: 0, completed: 0 }),
  jobs: () => Promise.resolve([]),
  job: () => Promise.resolve(null),
  isPaused: () => Promise.resolve(false),
  finished: () => Promise.resolve({ total: 0, perMinute: [], at: 0 }),
};

async function serve(t: TestContext, over: Partial<AdminServerOptions> = {}): Promise<HttpServer> {
  const server = await startAdminServer(adminOptions({ queues: [queue], ...over }));
  t.after(() => server.stop('hard'));
  return server;
}

const OPEN = ['/livez', '/readyz'];
const GUARDED = [
  '/',
  '/page.js',
  '/page.css',
  '/failed',
  '/quarantine',
  `/runs/${JOB_ID}`,
  '/confirm?action=pause&pipeline=user_logins',
  '/api/status',
  '/metrics',
  '/readyz?verbose',
  '/queues',
  '/queues/',
  '/queues/queue/transform.user_logins',
  '/queues/static/favicon.ico',
  '/queues/api/queues',
  '/queues/api/redis/stats',
  '/nowhere',
  '/queues/nowhere',
];

test('the status is served exactly as it was collected', async (t) => {
  const server = await serve(t);
  const reply = await ask(server.port, '/api/status');
  assert.equal(reply.status, 200);
  assert.match(String(reply.headers['content-type']), /^application\/json/);
  assert.deepEqual(JSON.parse(reply.text), statusOf());
});

test('on a loopback address every page is open', async (t) => {
  const server = await serve(t);
  for (const path of [
    '/',
    '/page.js',
    '/page.css',
    '/failed',
    '/quarantine',
    `/runs/${JOB_ID}`,
    '/api/status',
    '/metrics',
    '/queues',
    '/queues/api/queues',
    ...OPEN,
  ]) {
    assert.equal((await ask(server.port, path)).status, 200, path);
  }
});

test('on any other address nothing but the two probes is served without the credentials', async (t) => {
  const server = await serve(t, { host: '0.0.0.0', auth: AUTH });
  const wrong = [
    {},
    basic('ops', 'wrong'),
    basic('', ''),
    { authorization: 'Basic' },
    { authorization: 'Basic !!!' },
  ];
  for (const [index, path] of GUARDED.entries()) {
    // Who guesses more often is made to wait, whatever is asked for.
    for (const headers of index < 2 ? wrong : [{}]) {
      const reply = await ask(server.port, path, { headers });
      assert.equal(reply.status, 401, path);
      assert.doesNotMatch(reply.text, /maskline|user_logins|html/, `${path} tells nothing`);
    }
    const reply = await ask(server.port, path, { headers: basic(AUTH.user, AUTH.password) });
    assert.notEqual(reply.status, 401, path);
  }
  for (const path of OPEN) assert.equal((await ask(server.port, path)).status, 200, path);
});

test('who fails to log in ten times within a minute has to wait, also with the right password', async (t) => {
  const server = await serve(t, { host: '0.0.0.0', auth: AUTH });
  for (let tried = 0; tried < 10; tried += 1)
    assert.equal((await ask(server.port, '/', { headers: basic('ops', `guess ${tried}`) })).status, 401);
  const refused = await ask(server.port, '/', { headers: basic(AUTH.user, AUTH.password) });
  assert.equal(refused.status, 429);
  assert.match(String(refused.headers['retry-after']), /^\d\d?$/);
  assert.equal((await ask(server.port, '/livez')).status, 200, 'probes are not of them');
});

test('a request under a foreign Host name is not taken for a local one', async (t) => {
  const server = await serve(t);
  for (const path of GUARDED) {
    const reply = await ask(server.port, path, { headers: { host: 'rebound.example.com' } });
    assert.equal(reply.status, 403, path);
  }
});

test('every method but GET and HEAD is refused everywhere, with credentials too', async (t) => {
  const server = await serve(t);
  const acting = [
    '/',
    '/api/status',
    '/livez',
    '/queues/api/queues/pause',
    '/queues/api/queues/transform.user_logins/pause',
    '/queues/api/queues/transform.user_logins/retry/failed',
    '/queues/api/queues/transform.user_logins/clean/failed',
    '/queues/api/queues/transform.user_logins/obliterate',
    `/queues/api/queues/transform.user_logins/${JOB_ID}/retry/failed`,
    `/queues/api/queues/transform.user_logins/${JOB_ID}/clean`,
    '/queues/api/queues/transform.user_logins/add',
  ];
  for (const path of acting) {
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']) {
      const reply = await ask(server.port, path, { method, body: method === 'OPTIONS' ? '' : '{}' });
      assert.equal(reply.status, 405, `${method} ${path}`);
      assert.equal(reply.headers['allow'], 'GET, HEAD');
    }
    const trace = await ask(server.port, path, { method: 'TRACE' });
    assert.ok(trace.status >= 400, 'TRACE');
  }
  const head = await ask(server.port, '/', { method: 'HEAD' });
  assert.deepEqual([head.status, head.text], [200, '']);
});

test('no path leads out of the folder of the assets', async (t) => {
  const server = await serve(t);
  const asset = await ask(server.port, '/queues/static/images/logo.svg');
  assert.equal(asset.status, 200);
  assert.match(String(asset.headers['cache-control']), /^private/);
  for (const path of [
    '/queues/static/../../package.json',
    '/queues/static/%2e%2e/%2e%2e/package.json',
    '/queues/static/..%2f..%2fpackage.json',
    '/queues/static/..\\..\\package.json',
    '/queues/static//etc/passwd',
    '/queues/static/../../../../../../../../etc/passwd',
    '/../../../../etc/passwd',
    '/queues/static/js/../../../package.json%00.js',
    '/queues/static/',
    '/queues/static',
  ]) {
    const reply = await ask(server.port, path);
    assert.ok([400, 404].includes(reply.status), `${path}: ${reply.status}`);
    assert.doesNotMatch(reply.text, /bull-board\/ui|root:/);
  }
});

test('browsers are told to load nothing from elsewhere, to frame nothing and to keep nothing', async (t) => {
  const server = await serve(t);
  for (const path of ['/', '/queues', '/queues/queue/transform.user_logins']) {
    const { headers, text } = await ask(server.port, path);
    const policy = String(headers['content-security-policy']);
    assert.match(policy, /default-src 'none'/);
    assert.match(policy, /script-src 'self';/);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.doesNotMatch(policy, /https?:|unsafe-eval/);
    assert.equal(headers['cache-control'], 'no-store');
    assert.equal(headers['x-frame-options'], 'DENY');
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['referrer-policy'], 'no-referrer');
    assert.doesNotMatch(text, /(?:src|href)="(?:https?:)?\/\//, 'nothing from elsewhere is even asked for');
  }
  const page = await ask(server.port, '/');
  assert.doesNotMatch(String(page.headers['content-security-policy']), /unsafe-inline/);
  assert.match(page.text, /<noscript><meta http-equiv="refresh" content="5" \/><\/noscript>/);
});

test('the page shows what is known when the runs can not be read, or take too long', async (t) => {
  const failing = await serve(t, {
    views: viewsOf({ runs: () => Promise.reject(new Error('detail: ann@example.com')) }),
  });
  const reply = await ask(failing.port, '/');
  assert.equal(reply.status, 200);
  assert.match(reply.text, /Not known: Postgres does not answer/);
  assert.doesNotMatch(reply.text, /ann@/);
});

test('an error tells nothing, but for the words of our own', async (t) => {
  const secret = 'ann@example.com';
  const fails = (error: Error) => (): Promise<never> => Promise.reject(error);
  const foreign = await serve(t, {
    watch: { read: fails(new Error(secret)) },
    queues: [{ ...queue, counts: fails(new Error(secret)), job: fails(new Error(secret)) }],
  });
  for (const path of [
    '/',
    '/api/status',
    '/queues/api/queues',
    `/queues/api/queues/transform.user_logins/${JOB_ID}`,
  ]) {
    const reply = await ask(foreign.port, path);
    assert.equal(reply.status, 500, path);
    assert.doesNotMatch(reply.text, /ann@/, path);
  }
  const own = await serve(t, {
    queues: [{ ...queue, counts: fails(new PipelineError('redis_unavailable', 'Redis at r:6379 is away')) }],
  });
  assert.match((await ask(own.port, '/queues/api/queues')).text, /Redis at r:6379 is away/);
});

test('where the queues are in memory, /queues says so', async (t) => {
  const server = await serve(t, { queues: [] });
  const reply = await ask(server.port, '/queues');
  assert.equal(reply.status, 200);
  assert.match(reply.text, /No queues to look into/);
  assert.equal((await ask(server.port, '/queues/api/queues')).status, 404);
});
