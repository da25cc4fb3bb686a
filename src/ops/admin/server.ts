import { Hono, type MiddlewareHandler } from 'hono';
import { secureHeaders } from 'hono/secure-headers';
import type { BoardQueue } from '../../queue/board.js';
import { guard, whoAsks } from '../access.js';
import { attempt } from '../attempt.js';
import { type HealthServerOptions, addHealthRoutes, uncached } from '../health.js';
import { type HttpServer, listen } from '../http.js';
import { addActions } from './action-routes.js';
import type { Actions } from './actions.js';
import { type FailedGroup, failedPage } from './failed-page.js';
import type { KeyringView } from './keys-card.js';
import { STYLE } from './look.js';
import { noQueuesPage, pipelinePage } from './page.js';
import { type QuarantineGroup, quarantinePage } from './quarantine-page.js';
import { queueBoard } from './queue-board.js';
import { type RunDetails, runPage } from './run-page.js';
import { onlyReading, onlySameOrigin, smallBodies } from './same-origin.js';
import { SCRIPT } from './script.js';
import type { Activity } from './stages.js';
import type { StatusWatch } from './status-watch.js';
import type { RecentRun } from './tables.js';

/** What the pages ask for; what it throws, or what takes too long, is shown as not known. */
export interface Views {
  /** The latest runs of the pipelines shown, latest first. */
  readonly runs: () => Promise<readonly RecentRun[]>;
  /** By pipeline. */
  readonly activity: () => Promise<ReadonlyMap<string, Activity>>;
  readonly keyring: () => Promise<KeyringView>;
  readonly failed: () => Promise<readonly FailedGroup[]>;
  readonly quarantine: () => Promise<readonly QuarantineGroup[]>;
  /** Null: there is none of that id. */
  readonly run: (id: string) => Promise<RunDetails | null>;
}

/** What an admin process serves, besides what every role does. */
export interface AdminServerOptions extends HealthServerOptions {
  readonly watch: Pick<StatusWatch, 'read'>;
  readonly views: Views;
  /** Null: the pages only show. */
  readonly actions: Actions | null;
  /** None where the queues are in memory. */
  readonly queues: readonly BoardQueue[];
  readonly version: string;
}

const BOARD = '/queues';
/** A page waits no longer for what it shows besides the status. */
const VIEW_LIMIT_MS = 2_500;
/** Bull Board's files have a hash of their content in their names. */
const ASSET_CACHE = 'private, max-age=86400';
const RUN_ID = '[0-9a-f]{8}-[0-9a-f-]{27}';

/**
 * Serves the pages, `/api/status`, `/queues`, the probes and the metrics. Without `actions` nothing in it changes
 * anything, and only GET and HEAD are taken; with them, what changes something is taken from pages of this server only.
 * On a loopback address all is open; elsewhere all but `/livez` and the bare `/readyz` needs credentials. Throws
 * `config_invalid` when it can't listen there.
 */
export async function startAdminServer(options: AdminServerOptions): Promise<HttpServer> {
  const { actions } = options;
  const access = guard(options);
  const app = new Hono();
  app.use(actions ? onlySameOrigin : onlyReading);
  // A form tells its origin only where a referrer may be told; on plain HTTP there is nothing else to know it by.
  const referrerPolicy = actions ? 'same-origin' : 'no-referrer';
  app.use(secureHeaders({ xFrameOptions: 'DENY', referrerPolicy }));
  app.use(uncached);
  app.use(contentPolicy(actions !== null));
  addHealthRoutes(app, options, access);
  app.use(access);
  app.use(smallBodies);
  addPages(app, options);
  if (actions) addActions(app, { actions, who: (context) => whoAsks(context, options) });
  addBoard(app, options);
  app.notFound((context) => context.text('there is no such page\n', 404));
  return listen(app, options);
}

function addPages(app: Hono, { watch, views, actions, queues, version }: AdminServerOptions): void {
  const canAct = actions !== null;
  app.get('/', async (context) => {
    const [seen, runs, activity, keyring] = await Promise.all([
      watch.read(),
      known(views.runs),
      known(views.activity),
      known(views.keyring),
    ]);
    return context.html(pipelinePage({ ...seen, runs, activity, keyring, canAct, version }));
  });
  app.get('/failed', async (context) => {
    const [seen, groups] = await Promise.all([watch.read(), known(views.failed)]);
    return context.html(failedPage({ ...seen, groups, canAct, hasBoard: queues.length > 0 }));
  });
  app.get('/quarantine', async (context) => {
    const [seen, groups] = await Promise.all([watch.read(), known(views.quarantine)]);
    return context.html(quarantinePage({ ...seen, groups, canAct }));
  });
  app.get(`/runs/:id{${RUN_ID}}`, async (context) => {
    const id = context.req.param('id');
    const [seen, run] = await Promise.all([watch.read(), attempt(() => views.run(id), VIEW_LIMIT_MS)]);
    return context.html(runPage({ ...seen, id, run: run.ok ? run.value : 'unknown' }));
  });
  app.get('/page.js', (context) =>
    context.body(SCRIPT, 200, { 'content-type': 'text/javascript; charset=utf-8' }),
  );
  app.get('/page.css', (context) => context.body(STYLE, 200, { 'content-type': 'text/css; charset=utf-8' }));
  app.get('/api/status', async (context) => context.json((await watch.read()).status));
}

async function known<T>(view: () => Promise<T>): Promise<T | null> {
  const answer = await attempt(view, VIEW_LIMIT_MS);
  return answer.ok ? answer.value : null;
}

function addBoard(app: Hono, options: AdminServerOptions): void {
  const { queues, actions } = options;
  if (queues.length === 0) {
    app.get(BOARD, (context) => context.html(noQueuesPage()));
    return;
  }
  app.use(`${BOARD}/static/*`, async (context, next) => {
    await next();
    if (context.res.ok) context.header('cache-control', ASSET_CACHE);
  });
  const who = (context: Parameters<typeof whoAsks>[0]): string => whoAsks(context, options);
  app.route(BOARD, queueBoard(queues, BOARD, actions && { actions, who }));
}

/**
 * Our pages: their own style and script, nothing else. Bull Board sets styles from its scripts, so there inline ones
 * are let through; scripts come from its own files only.
 */
function contentPolicy(canAct: boolean): MiddlewareHandler {
  const common =
    "default-src 'none'; connect-src 'self'; script-src 'self'; img-src 'self' data:; frame-ancestors 'none'; ";
  const page = `${common}style-src 'self'; base-uri 'none'; form-action ${canAct ? "'self'" : "'none'"}`;
  const board = `${common}style-src 'self' 'unsafe-inline'; font-src 'self'; base-uri 'self'; form-action 'none'`;
  return async (context, next) => {
    await next();
    const isBoard = context.req.path === BOARD || context.req.path.startsWith(`${BOARD}/`);
    context.header('content-security-policy', isBoard ? board : page);
  };
}
