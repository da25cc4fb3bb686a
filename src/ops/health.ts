import { Hono, type MiddlewareHandler } from 'hono';
import { HTTPException } from 'hono/http-exception';
import { secureHeaders } from 'hono/secure-headers';
import { type Credentials, guard } from './access.js';
import { type HttpServer, type ListenOptions, listen } from './http.js';
import type { Metrics } from './metrics.js';
import { type Check, probeRoutes } from './probes.js';

/** What a role serves, and to whom. */
export interface HealthServerOptions extends ListenOptions {
  readonly checks: { readonly [name: string]: Check };
  /** Names of what hangs in this process. Default: nothing ever does. */
  readonly hung?: () => readonly string[];
  readonly metrics: Pick<Metrics, 'contentType' | 'render'>;
  readonly auth: Credentials | null;
  /** Frees `/metrics` on any address. */
  readonly metricsPublic: boolean;
}

/**
 * Serves `/livez`, `/readyz` and `/metrics`. On a loopback address all is open; elsewhere only `/livez` and the bare
 * `/readyz` are, the rest needs credentials. Throws `config_invalid` when it can't listen there, as when the port is
 * taken: workers warn and go on, an admin process ends.
 */
export async function startHealthServer(options: HealthServerOptions): Promise<HttpServer> {
  const app = new Hono();
  app.use(secureHeaders());
  app.use(uncached);
  addHealthRoutes(app, options, guard(options));
  return listen(app, options);
}

/** Adds the probes, the metrics and the answer to errors; `access` stands before what is not for everybody. */
export function addHealthRoutes(
  app: Hono,
  options: Pick<HealthServerOptions, 'checks' | 'hung' | 'metrics' | 'metricsPublic'>,
  access: MiddlewareHandler,
): void {
  const { checks, hung = () => [], metrics } = options;
  app.route('/', probeRoutes({ checks, hung, guard: access }));
  const scrape = new Hono();
  if (!options.metricsPublic) scrape.use(access);
  scrape.get('/', async (context) =>
    context.body(await metrics.render(), 200, { 'content-type': metrics.contentType }),
  );
  app.route('/metrics', scrape);
  // The guard answers by throwing; whatever else is thrown tells the caller nothing.
  app.onError((error, context) =>
    error instanceof HTTPException ? error.getResponse() : context.text('internal error\n', 500),
  );
}

/** What is true now is not true later, unless a route knows better. */
export const uncached: MiddlewareHandler = async (context, next) => {
  await next();
  if (!context.res.headers.has('cache-control')) context.header('cache-control', 'no-store');
};
