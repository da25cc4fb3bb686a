import { type Dispatcher, Pool, errors } from 'undici';
import { CONNECT_TIMEOUT_MS } from './sqs-sdk.js';

/** Where requests go. */
export interface SiteAddress {
  readonly isTls: boolean;
  readonly hostname: string;
  /** Null: that of the protocol. */
  readonly port: number | null;
  readonly path: string;
}

type Headers = Readonly<{ [name: string]: string | string[] | undefined }>;

/** What came back, whatever its status. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** One origin and path, and at most `maxSockets` connections to it, which are kept. */
export class Site {
  /** The Host header. */
  readonly host: string;
  readonly path: string;
  readonly #pool: Pool;
  /** Requests under way, by what cuts them: a listener for each would cost half as much as its signature. */
  readonly #cutBy = new WeakMap<AbortSignal, Set<Exchange>>();

  constructor({ isTls, hostname, port, path }: SiteAddress, maxSockets: number) {
    this.host = port === null ? hostname : `${hostname}:${port}`;
    this.path = path;
    this.#pool = new Pool(`${isTls ? 'https' : 'http'}://${this.host}`, {
      connections: maxSockets,
      connect: { timeout: CONNECT_TIMEOUT_MS },
      // Each request has one limit for its whole answer instead.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  /**
   * One POST; the answer is read to its end. Rejects with the socket's error, with an `AbortError`, or with a
   * `TimeoutError` when there is no connection in five seconds, or no whole answer in `timeoutMs`.
   */
  post(
    headers: Readonly<{ [name: string]: string }>,
    body: string,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<Answer> {
    if (signal.aborted) return Promise.reject(new CutError('AbortError'));
    const underWay = this.#underWay(signal);
    return new Promise((resolve, reject) => {
      const exchange = new Exchange(timeoutMs, (ended) => {
        underWay.delete(exchange);
        if (ended instanceof Error) reject(ended);
        else resolve(ended);
      });
      underWay.add(exchange);
      this.#pool.dispatch({ path: this.path, method: 'POST', headers, body }, exchange);
    });
  }

  /** Closes its connections, also those in use. Safe twice. */
  close(): void {
    if (!this.#pool.destroyed) void this.#pool.destroy();
  }

  #underWay(signal: AbortSignal): Set<Exchange> {
    const known = this.#cutBy.get(signal);
    if (known !== undefined) return known;
    const underWay = new Set<Exchange>();
    this.#cutBy.set(signal, underWay);
    const cut = (): void => {
      for (const exchange of underWay) exchange.cut('AbortError');
    };
    signal.addEventListener('abort', cut, { once: true });
    return underWay;
  }
}

/** One request, from its place in the pool's queue to the end of its answer. */
class Exchange implements Dispatcher.DispatchHandler {
  /** Called once. */
  readonly #end: (ended: Answer | Error) => void;
  /** For the whole answer: one that begins may never end. */
  readonly #expiry: NodeJS.Timeout;
  readonly #chunks: Buffer[] = [];
  #status = 0;
  #headers: Headers = {};
  #controller: Dispatcher.DispatchController | null = null;
  #cut: CutError | null = null;

  constructor(timeoutMs: number, end: (ended: Answer | Error) => void) {
    this.#end = end;
    this.#expiry = setTimeout(() => this.cut('TimeoutError'), timeoutMs);
  }

  /** Ends it as failed; what has not been sent yet is not sent. Without effect when it has ended. */
  cut(name: 'AbortError' | 'TimeoutError'): void {
    this.#cut ??= new CutError(name);
    this.#controller?.abort(this.#cut);
    this.#finish(this.#cut);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#cut === null) this.#controller = controller;
    else controller.abort(this.#cut);
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Headers): void {
    this.#status = status;
    this.#headers = headers;
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    const [first, ...more] = this.#chunks;
    const whole = first !== undefined && more.length === 0 ? first : Buffer.concat(this.#chunks);
    this.#finish({ status: this.#status, headers: this.#headers, text: whole.toString() });
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#finish(sdkNamed(error));
  }

  #finish(ended: Answer | Error): void {
    clearTimeout(this.#expiry);
    this.#end(ended);
  }
}

/** The client's own errors as the SDK knows them; those of sockets are Node's, as the SDK's are. */
function sdkNamed(error: Error): Error {
  if (error instanceof errors.ConnectTimeoutError) return new CutError('TimeoutError');
  if (error instanceof errors.ClientDestroyedError) return new CutError('AbortError');
  if (error instanceof errors.SocketError) return Object.assign(new Error(''), { code: 'ECONNRESET' });
  return error;
}

/** By the name that the SDK's handler gives it. */
class CutError extends Error {
  constructor(name: 'AbortError' | 'TimeoutError') {
    super('');
    this.name = name;
  }
}
