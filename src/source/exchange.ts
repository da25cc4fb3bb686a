import http from 'node:http';
import https from 'node:https';
import { CONNECT_TIMEOUT_MS } from './sqs-sdk.js';

/** Where requests go. */
export interface SiteAddress {
  readonly isTls: boolean;
  readonly hostname: string;
  /** Null: that of the protocol. */
  readonly port: number | null;
  readonly path: string;
}

/** What came back, whatever its status. */
export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
}

/** One origin and path, and the connections to it, which are kept. */
export class Site {
  /** The Host header. */
  readonly host: string;
  readonly path: string;
  readonly #agent: http.Agent;
  readonly #request: typeof https.request;
  readonly #options: https.RequestOptions;
  /** Requests under way, by what cuts them: a listener for each would cost half as much as its signature. */
  readonly #cutBy = new WeakMap<AbortSignal, Set<http.ClientRequest>>();

  constructor({ isTls, hostname, port, path }: SiteAddress, agentOptions: https.AgentOptions) {
    this.#agent = isTls ? new https.Agent(agentOptions) : new http.Agent(agentOptions);
    this.#request = isTls ? https.request : http.request;
    this.host = port === null ? hostname : `${hostname}:${port}`;
    this.path = path;
    this.#options = { agent: this.#agent, hostname, port, path, method: 'POST' };
  }

  /**
   * One POST; the answer is read to its end. Rejects with the socket's error, with an `AbortError`, or with a
   * `TimeoutError` when there is no connection in five seconds, or no whole answer in `timeoutMs`.
   */
  post(
    headers: http.OutgoingHttpHeaders,
    body: string,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<Answer> {
    if (signal.aborted) return Promise.reject(new CutError('AbortError'));
    return new Promise((resolve, reject) => {
      const sent = this.#request({ ...this.#options, headers }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const { statusCode: status = 0 } = response;
          resolve({ status, headers: response.headers, text: Buffer.concat(chunks).toString() });
        });
      });
      const expire = (): void => void sent.destroy(new CutError('TimeoutError'));
      // For the whole answer: one that begins may never end.
      const answering = setTimeout(expire, timeoutMs);
      const underWay = this.#underWay(signal);
      underWay.add(sent);
      sent.once('socket', (socket) => {
        if (!socket.connecting) return;
        const connecting = setTimeout(expire, CONNECT_TIMEOUT_MS);
        for (const event of ['connect', 'close']) socket.once(event, () => clearTimeout(connecting));
      });
      sent.on('error', reject);
      sent.on('close', () => {
        clearTimeout(answering);
        underWay.delete(sent);
      });
      sent.end(body);
    });
  }

  /** Closes its connections, also those in use. Safe twice. */
  close(): void {
    this.#agent.destroy();
  }

  #underWay(signal: AbortSignal): Set<http.ClientRequest> {
    const known = this.#cutBy.get(signal);
    if (known !== undefined) return known;
    const underWay = new Set<http.ClientRequest>();
    this.#cutBy.set(signal, underWay);
    const cut = (): void => {
      for (const sent of underWay) sent.destroy(new CutError('AbortError'));
    };
    signal.addEventListener('abort', cut, { once: true });
    return underWay;
  }
}

/** By the name that the SDK's handler gives it. */
class CutError extends Error {
  constructor(name: 'AbortError' | 'TimeoutError') {
    super('');
    this.name = name;
  }
}
