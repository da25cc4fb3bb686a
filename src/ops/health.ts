import { Hono } from 'hono';
import { HTTPException } from 'hono/http-exception';
import { secureHeaders } from 'hono/secure-headers';
import { type Credentials, guard } from './access.js';
import { type HttpServer, listen } from './http.js';
import type { Metrics } from './metrics.js';
import { type Check, Heartbeats, probeRoutes } from './probes.js';

/** What a role serves, and to whom. */
export interface HealthServerOptions {
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
  readonly checks: { readonly [name: string]: Check };
  readonly heartbeats?: Heartbeats;
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
  const { host, port, checks, metrics, auth } = options;
  const access = guard({ host, auth });
  const app = new Hono();
  app.use(secureHeaders());
  app.use(async (context, next) => {
    await next();
    context.header('cache-control', 'no-store');
  });
  app.route('/', probeRoutes({ checks, heartbeats: options.heartbeats ?? new Heartbeats(), guard: access }));
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
  return listen(app, { host, port });
}
