import http from 'node:http';
import https from 'node:https';
import { CONNECT_TIMEOUT_MS } from './sqs-sdk.js';

/** One origin and path, with the connections to it. */
export interface Site {
  readonly agent: http.Agent;
  readonly request: typeof https.request;
  readonly hostname: string;
  readonly port: number | null;
  /** The Host header. */
  readonly host: string;
  readonly path: string;
}

/** What came back, whatever its status. */
export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
}

/** The site of a request that the SDK has built; null for what is none. */
export function siteAt(request: unknown, options: https.AgentOptions): Site | null {
  if (typeof request !== 'object' || request === null || !('hostname' in request)) return null;
  const { hostname } = request;
  if (typeof hostname !== 'string') return null;
  const port = 'port' in request && typeof request.port === 'number' ? request.port : null;
  const isTls = !('protocol' in request) || request.protocol !== 'http:';
  return {
    agent: isTls ? new https.Agent(options) : new http.Agent(options),
    request: isTls ? https.request : http.request,
    hostname,
    port,
    host: port === null ? hostname : `${hostname}:${port}`,
    path: 'path' in request && typeof request.path === 'string' ? request.path : '/',
  };
}

/**
 * One POST over a kept connection; the answer is read to its end. Rejects with the socket's error, or with a
 * `TimeoutError` when there is no connection in five seconds, or no whole answer in `timeoutMs`.
 */
/** Sends one request and reads its answer to the end. Rejects with the socket's error, or `TimeoutError`. */
export function exchange(
  { agent, request, hostname, port, path }: Site,
  headers: http.OutgoingHttpHeaders,
  body: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ agent, hostname, port, path, method: 'POST', headers, signal }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode: status = 0 } = response;
        resolve({ status, headers: response.headers, text: Buffer.concat(chunks).toString() });
      });
    });
    const expire = (): void => void sent.destroy(new TimeoutError());
    // For the whole answer: one that begins may never end.
    const answering = setTimeout(expire, timeoutMs);
    sent.once('socket', (socket) => {
      if (!socket.connecting) return;
      const connecting = setTimeout(expire, CONNECT_TIMEOUT_MS);
      for (const event of ['connect', 'close']) socket.once(event, () => clearTimeout(connecting));
    });
    sent.on('error', reject);
    sent.on('close', () => clearTimeout(answering));
    sent.end(body);
  });
}

/** By the name that the SDK's handler gives it. */
class TimeoutError extends Error {
  override readonly name = 'TimeoutError';
}
