import assert from 'node:assert/strict';
import { request } from 'node:http';
import { type TestContext, test } from 'node:test';
import { PipelineError } from '../../src/errors.js';
import { isLoopback } from '../../src/ops/access.js';
import { type HealthServerOptions, startHealthServer } from '../../src/ops/health.js';
import type { HttpServer } from '../../src/ops/http.js';

const ANY_ADDRESS = '0.0.0.0';
const AUTH = { user: 'ops', password: 'correct horse' };

async function serve(t: TestContext, over: Partial<HealthServerOptions> = {}): Promise<HttpServer> {
  const server = await startHealthServer({
    host: '127.0.0.1',
    port: 0,
    checks: { postgres: () => Promise.resolve() },
    metrics: { contentType: 'text/plain; version=0.0.4', render: () => Promise.resolve('up 1\n') },
    auth: null,
    metricsPublic: false,
    ...over,
  });
  t.after(() => server.stop('hard'));
  return server;
}

interface Reply {
  readonly status: number;
  readonly text: string;
  readonly headers: { readonly [name: string]: unknown };
}

/** A request whose Host header the test chooses. */
async function get(
  server: HttpServer,
  path: string,
  headers: { readonly [name: string]: string } = {},
  method = 'GET',
  body = '',
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port: server.port, path, method, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text, headers: response.headers }),
      );
    });
    sent.on('error', reject).end(body);
  });
}

async function status(server: HttpServer, path: string, headers = {}): Promise<number> {
  return (await get(server, path, headers)).status;
}

function basic(user: string, password: string): { readonly authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
}

test('loopback addresses are told from all others', () => {
  for (const host of [
    '127.0.0.1',
    '127.8.9.1',
    '::1',
    '[::1]',
    'localhost',
    'LOCALHOST',
    '::ffff:127.0.0.1',
  ]) {
    assert.equal(isLoopback(host), true, host);
  }
  for (const host of [
    '0.0.0.0',
    '::',
    '',
    '10.0.0.1',
    '127.0.0.1.example.com',
    'localhost.example.com',
    '1127.0.0.1',
  ]) {
    assert.equal(isLoopback(host), false, host);
  }
});

test('on a loopback address everything is open', async (t) => {
  const server = await serve(t);
  assert.equal(await status(server, '/livez'), 200);
  assert.equal(await status(server, '/readyz'), 200);
  assert.equal((await get(server, '/readyz?verbose')).text, '[+] postgres ok\nready\n');
  const metrics = await get(server, '/metrics');
  assert.equal(metrics.text, 'up 1\n');
  assert.equal(metrics.headers['content-type'], 'text/plain; version=0.0.4');
});

test('a request under a foreign Host name is not local, even on a loopback address', async (t) => {
  const server = await serve(t);
  const headers = { host: 'rebound.example.com' };
  assert.equal(await status(server, '/livez', headers), 200);
  assert.equal(await status(server, '/metrics', headers), 403);
  assert.equal(await status(server, '/readyz?verbose', headers), 403);
  const guarded = await serve(t, { auth: AUTH });
  assert.equal(await status(guarded, '/metrics', headers), 401);
});

test('without credentials configured, only the probes are served on any other address', async (t) => {
  const server = await serve(t, { host: ANY_ADDRESS });
  assert.equal(await status(server, '/livez'), 200);
  assert.equal(await status(server, '/readyz'), 200);
  assert.equal(await status(server, '/readyz?verbose'), 403);
  assert.equal(await status(server, '/readyz?verbose=1'), 403);
  const metrics = await get(server, '/metrics');
  assert.equal(metrics.status, 403);
  assert.match(metrics.text, /MASKLINE_ADMIN_USER/);
});

test('on any other address all but the probes needs the right user and the right password', async (t) => {
  const server = await serve(t, { host: ANY_ADDRESS, auth: AUTH });
  assert.equal(await status(server, '/livez'), 200);
  assert.equal(await status(server, '/readyz'), 200);
  for (const path of ['/metrics', '/readyz?verbose']) {
    assert.equal(await status(server, path), 401);
    assert.equal(await status(server, path, basic('ops', 'wrong')), 401);
    assert.equal(await status(server, path, basic('other', AUTH.password)), 401);
    assert.equal(await status(server, path, { authorization: 'Bearer x' }), 401);
    assert.equal(await status(server, path, basic(AUTH.user, AUTH.password)), 200);
  }
});

test('metrics_public frees the metrics and nothing else', async (t) => {
  const server = await serve(t, { host: ANY_ADDRESS, metricsPublic: true });
  assert.equal(await status(server, '/metrics'), 200);
  assert.equal(await status(server, '/readyz?verbose'), 403);
});

test('readiness fails with one check, and says which and why by code only', async (t) => {
  const server = await serve(t, {
    checks: {
      postgres: () => Promise.reject(new PipelineError('postgres_unavailable', 'at db.internal:5432')),
      redis: () => Promise.resolve('PONG 199.172.111.135'),
      sqs: () => Promise.reject(new Error('secret text')),
    },
  });
  const bare = await get(server, '/readyz');
  assert.deepEqual([bare.status, bare.text], [503, 'not ready\n']);
  const verbose = await get(server, '/readyz?verbose');
  assert.equal(verbose.status, 503);
  assert.equal(
    verbose.text,
    '[-] postgres failed: postgres_unavailable\n[+] redis ok\n[-] sqs failed: unexpected\nnot ready\n',
  );
  assert.equal(await status(server, '/livez'), 200, 'an outage is no reason to be restarted');
});

test('a check that hangs is a failed one, within the second that a probe waits', async (t) => {
  const server = await serve(t, { checks: { redis: () => new Promise(() => undefined) } });
  const startedAt = performance.now();
  const verbose = await get(server, '/readyz?verbose');
  assert.equal(verbose.text, '[-] redis failed: timeout\nnot ready\n');
  assert.ok(performance.now() - startedAt >= 850);
});

test('probes that come together ask each dependency once', async (t) => {
  let asked = 0;
  const answers: (() => void)[] = [];
  const server = await serve(t, {
    checks: {
      postgres: () => {
        asked += 1;
        return new Promise<void>((resolve) => {
          answers.push(resolve);
          if (answers.length === 1) setImmediate(() => setImmediate(resolve));
        });
      },
    },
  });
  await Promise.all([get(server, '/readyz'), get(server, '/readyz?verbose'), get(server, '/readyz')]);
  assert.ok(asked < 3, `asked ${asked} times`);
  answers.forEach((answer) => answer());
});

test('what hangs is named, and the process is not alive', async (t) => {
  let hung: readonly string[] = [];
  const server = await serve(t, { hung: () => hung });
  assert.equal(await status(server, '/livez'), 200);
  hung = ['statements', 'receive logins'];
  const { status: code, text } = await get(server, '/livez');
  assert.deepEqual([code, text], [503, 'hung: statements, receive logins\n']);
  assert.match((await get(server, '/readyz?verbose')).text, /\[-\] receive logins hung/);
});

test('an outage of whatever length leaves the process alive, though not ready', async (t) => {
  const away = () => Promise.reject(new PipelineError('postgres_unavailable', 'away'));
  const server = await serve(t, { checks: { postgres: away } });
  assert.equal(await status(server, '/livez'), 200);
  assert.equal(await status(server, '/readyz'), 503);
});

test('other methods, other paths and large bodies are refused, with headers that browsers obey', async (t) => {
  const server = await serve(t);
  assert.equal((await get(server, '/metrics', {}, 'POST', 'x'.repeat(2_000_000))).status, 404);
  assert.equal(await status(server, '/../../etc/passwd'), 404);
  assert.equal(await status(server, '/metrics/..%2f..%2fetc'), 404);
  const { headers } = await get(server, '/livez');
  assert.equal(headers['x-content-type-options'], 'nosniff');
  assert.equal(headers['x-frame-options'], 'SAMEORIGIN');
  assert.equal(headers['cache-control'], 'no-store');
});

test('a metrics page that fails tells nothing of why', async (t) => {
  const render = (): Promise<string> => Promise.reject(new Error('199.172.111.135'));
  const reply = await get(await serve(t, { metrics: { contentType: 'text/plain', render } }), '/metrics');
  assert.deepEqual([reply.status, reply.text], [500, 'internal error\n']);
});

test('a taken port is config_invalid and says what to set', async (t) => {
  const first = await serve(t);
  await assert.rejects(serve(t, { port: first.port }), (error) => {
    assert.ok(error instanceof PipelineError);
    assert.equal(error.code, 'config_invalid');
    assert.match(
      error.message,
      new RegExp(`127\\.0\\.0\\.1 port ${first.port}: the port is taken; set HOST and PORT`),
    );
    return true;
  });
});

test('a stopped server is stopped, twice too, and idle connections do not hold it up', async (t) => {
  const server = await serve(t);
  const kept = await fetch(`http://127.0.0.1:${server.port}/livez`, {
    headers: { connection: 'keep-alive' },
  });
  assert.equal(await kept.text(), 'ok\n');
  await server.stop();
  await server.stop();
  await assert.rejects(get(server, '/livez'), { code: 'ECONNREFUSED' });
});
