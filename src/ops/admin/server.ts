import { Hono, type MiddlewareHandler } from 'hono';
import { secureHeaders } from 'hono/secure-headers';
import type { BoardQueue } from '../../queue/board.js';
import { guard } from '../access.js';
import { attempt } from '../attempt.js';
import { type HealthServerOptions, addHealthRoutes, uncached } from '../health.js';
import { type HttpServer, listen } from '../http.js';
import { SCRIPT, STYLE, sourceHash } from './look.js';
import { noQueuesPage, pipelinePage } from './page.js';
import { queueBoard } from './queue-board.js';
import type { StatusWatch } from './status-watch.js';
import type { RecentRun } from './tables.js';

/** What an admin process serves, besides what every role does. */
export interface AdminServerOptions extends HealthServerOptions {
  readonly watch: Pick<StatusWatch, 'read'>;
  /** The latest runs of the pipelines shown, latest first; what it throws is shown as not known. */
  readonly runs: () => Promise<readonly RecentRun[]>;
  /** None where the queues are in memory. */
  readonly queues: readonly BoardQueue[];
  readonly version: string;
}

const BOARD = '/queues';
/** The page waits no longer for its runs. */
const RUNS_LIMIT_MS = 2_000;
/** Bull Board's files have a hash of their content in their names. */
const ASSET_CACHE = 'private, max-age=86400';

/**
 * Serves the pipeline page, `/api/status`, `/queues`, the probes and the metrics; nothing in it changes anything, and
 * only GET and HEAD are taken. On a loopback address all is open; elsewhere all but `/livez` and the bare `/readyz`
 * needs credentials. Throws `config_invalid` when it can't listen there.
 */
export async function startAdminServer(options: AdminServerOptions): Promise<HttpServer> {
  const access = guard(options);
  const app = new Hono();
  app.use(onlyReading);
  app.use(secureHeaders({ xFrameOptions: 'DENY' }));
  app.use(uncached);
  app.use(contentPolicy());
  addHealthRoutes(app, options, access);
  app.use(access);
  addPages(app, options);
  addBoard(app, options.queues);
  app.notFound((context) => context.text('there is no such page\n', 404));
  return listen(app, options);
}

function addPages(app: Hono, { watch, runs, version }: AdminServerOptions): void {
  app.get('/', async (context) => {
    const [{ status, awaySince }, latest] = await Promise.all([watch.read(), attempt(runs, RUNS_LIMIT_MS)]);
    const known = latest.ok ? latest.value : null;
    return context.html(pipelinePage({ status, awaySince, runs: known, version }));
  });
  app.get('/page.js', (context) =>
    context.body(SCRIPT, 200, { 'content-type': 'text/javascript; charset=utf-8' }),
  );
  app.get('/api/status', async (context) => context.json((await watch.read()).status));
}

function addBoard(app: Hono, queues: readonly BoardQueue[]): void {
  if (queues.length === 0) {
    app.get(BOARD, (context) => context.html(noQueuesPage()));
    return;
  }
  app.use(`${BOARD}/static/*`, async (context, next) => {
    await next();
    if (context.res.ok) context.header('cache-control', ASSET_CACHE);
  });
  app.route(BOARD, queueBoard(queues, BOARD));
}

/** Whatever a route behind it would do. */
const onlyReading: MiddlewareHandler = async (context, next) => {
  if (context.req.method === 'GET' || context.req.method === 'HEAD') return next();
  return context.text('this page only shows: see `maskline --help`\n', 405, { allow: 'GET, HEAD' });
};

/**
 * Our page: its own style by hash and its own script, nothing else. Bull Board sets styles from its scripts, so there
 * inline ones are let through; scripts come from its own files only.
 */
function contentPolicy(): MiddlewareHandler {
  const common =
    "default-src 'none'; connect-src 'self'; script-src 'self'; img-src 'self' data:; form-action 'none'; ";
  const page = `${common}style-src ${sourceHash(STYLE)}; base-uri 'none'; frame-ancestors 'none'`;
  const board = `${common}style-src 'self' 'unsafe-inline'; font-src 'self'; base-uri 'self'; frame-ancestors 'none'`;
  return async (context, next) => {
    await next();
    const isBoard = context.req.path === BOARD || context.req.path.startsWith(`${BOARD}/`);
    context.header('content-security-policy', isBoard ? board : page);
  };
}
