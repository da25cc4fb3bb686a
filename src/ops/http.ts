import { once } from 'node:events';
import { createServer } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import type { Hono } from 'hono';
import { PipelineError } from '../errors.js';
import type { Service } from '../lifecycle.js';

/** A probe or a scrape is a few hundred bytes and takes moments: who needs longer holds a socket for nothing. */
const REQUEST_TIMEOUT_MS = 10_000;

/** Where to listen. */
export interface ListenOptions {
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
  /** Hears of the status of each answer. */
  readonly onAnswer?: (status: number) => void;
}

/** A listening server. */
export interface HttpServer extends Service {
  readonly host: string;
  /** The port it really has, also where 0 was asked for. */
  readonly port: number;
}

/**
 * Serves an app until stopped: a stop takes no new connections and ends idle ones, a hard one ends them all. Throws
 * `config_invalid` when it can't listen there.
 */
export async function listen(app: Hono, options: ListenOptions): Promise<HttpServer> {
  const { host, onAnswer = () => undefined } = options;
  // Replacing the global Request and Response is not for a server that shares its process with an SDK.
  const answer: typeof app.fetch = async (...request) => {
    const response = await app.fetch(...request);
    onAnswer(response.status);
    return response;
  };
  const handle = getRequestListener(answer, { hostname: host, overrideGlobalObjects: false });
  const server = createServer(
    { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => void handle(request, response),
  );
  try {
    server.listen(options.port, host);
    await once(server, 'listening');
  } catch (error) {
    throw cannotListen(error, options);
  }
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : options.port;
  // Without a listener, an error of the listening socket would end the process.
  server.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => server.once('close', () => resolve()));
  return {
    host,
    port,
    stop: async (mode = 'soft') => {
      if (server.listening) server.close();
      if (mode === 'hard') server.closeAllConnections();
      await closed;
    },
  };
}

const REASONS: { readonly [code: string]: string } = {
  EADDRINUSE: 'the port is taken',
  EADDRNOTAVAIL: 'this machine has no such address',
  EACCES: 'this user may not listen on that port',
  ENOTFOUND: 'there is no such host',
};

function cannotListen(
  cause: unknown,
  where: { readonly host: string; readonly port: number },
): PipelineError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const reason = REASONS[code] ?? 'the system refused';
  const message = `can't serve HTTP on ${where.host} port ${where.port}: ${reason}; set HOST and PORT (0: any free port)`;
  return new PipelineError('config_invalid', message, { cause });
}
