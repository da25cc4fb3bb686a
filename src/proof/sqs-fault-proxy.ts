import { once } from 'node:events';
import {
  Agent,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  createServer,
  request,
} from 'node:http';
import { PipelineError } from '../errors.js';

/** One API call, as it passed through. */
export interface SqsCall {
  /** As in `ReceiveMessage`. */
  readonly action: string;
  readonly input: { readonly [name: string]: unknown };
  readonly at: number;
  /** The id of the access key that it was signed with (SigV4); null: it was not signed. */
  readonly accessKey: string | null;
}

/** What happens to a call instead of passing it on and back unchanged. */
export type SqsFault =
  /** The connection is cut before the call has any effect. */
  | { readonly kind: 'reset' }
  /** The call has its effect; its answer is cut off. */
  | { readonly kind: 'lost_answer' }
  /** An error answer of SQS; the call has no effect. */
  | { readonly kind: 'error'; readonly status: number; readonly type: string }
  /** The call has its effect; its answer is replaced. */
  | { readonly kind: 'answer'; readonly change: (answer: string) => string }
  /** A batch call from which these entries are taken out, and answered as failed. */
  | {
      readonly kind: 'fail_entries';
      readonly code: string;
      readonly ids: (ids: readonly string[]) => readonly string[];
    };

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** What hears of calls. */
export interface SqsProxyListeners {
  readonly onCall?: (call: SqsCall) => void;
  /** Hears of what the server answered, whatever becomes of it then. */
  readonly onAnswer?: (call: SqsCall, body: string) => void;
}

/** An HTTP proxy on loopback before an SQS endpoint of this machine, that misbehaves on demand, call by call. */
export class SqsFaultProxy {
  /** Asked at each call. */
  fault: (call: SqsCall) => SqsFault | null = () => null;
  readonly #upstreamPort: number;
  readonly #listeners: SqsProxyListeners;
  readonly #server: Server;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(upstreamPort: number, listeners: SqsProxyListeners = {}) {
    this.#upstreamPort = upstreamPort;
    this.#listeners = listeners;
    this.#server = createServer((incoming, outgoing) => {
      void this.#handle(incoming, outgoing).catch(() => incoming.socket.destroy());
    });
  }

  /** Listens on a free port; returns the endpoint. */
  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${this.port}`;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address ? address.port : 0;
  }

  /** Cuts all connections. */
  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
    this.#agent.destroy();
  }

  async #handle(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const body = await textOf(incoming);
    const action = String(incoming.headers['x-amz-target']).replace('AmazonSQS.', '');
    const [, accessKey = null] = /Credential=([^/]+)\//.exec(incoming.headers.authorization ?? '') ?? [];
    const call = { action, input: objectOf(body), at: Date.now(), accessKey };
    this.#listeners.onCall?.(call);
    const fault = this.fault(call);
    if (fault?.kind === 'reset') return void incoming.socket.destroy();
    if (fault?.kind === 'error') {
      return send(outgoing, {
        status: fault.status,
        body: JSON.stringify({ __type: fault.type, message: '-' }),
      });
    }
    const answer =
      fault?.kind === 'fail_entries'
        ? await this.#failEntries(incoming, body, call, fault)
        : await this.#pass(incoming, body);
    this.#listeners.onAnswer?.(call, answer.body);
    if (fault?.kind === 'lost_answer') return void incoming.socket.destroy();
    send(outgoing, fault?.kind === 'answer' ? { ...answer, body: fault.change(answer.body) } : answer);
  }

  /** Passes the other entries on, if there are any, and puts the failed ones into the answer. */
  async #failEntries(
    incoming: IncomingMessage,
    body: string,
    { input }: SqsCall,
    fault: SqsFault & { readonly kind: 'fail_entries' },
  ): Promise<Answer> {
    const all = listOf(input, 'Entries');
    const failed = fault.ids(all.map(idOf));
    if (failed.length === 0) return this.#pass(incoming, body);
    const rest = all.filter((entry) => !failed.includes(idOf(entry)));
    const answer =
      rest.length === 0
        ? { status: 200, body: '{"Successful":[],"Failed":[]}' }
        : await this.#pass(incoming, JSON.stringify({ ...input, Entries: rest }));
    const parsed = objectOf(answer.body);
    const Failed = [
      ...listOf(parsed, 'Failed'),
      ...failed.map((Id) => ({ Id, Code: fault.code, SenderFault: false, Message: '-' })),
    ];
    return { status: 200, body: JSON.stringify({ ...parsed, Failed }) };
  }

  #pass(incoming: IncomingMessage, body: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const upstream = request(
        {
          host: '127.0.0.1',
          port: this.#upstreamPort,
          method: 'POST',
          path: incoming.url,
          headers: { ...incoming.headers, 'content-length': Buffer.byteLength(body) },
          agent: this.#agent,
        },
        (answer) => {
          incoming.socket.off('close', cut);
          textOf(answer).then((text) => resolve({ status: answer.statusCode ?? 500, body: text }), reject);
        },
      );
      upstream.on('error', (error) => {
        incoming.socket.off('close', cut);
        reject(error);
      });
      // Who hangs up on a long poll must not be handed messages any more.
      const cut = (): void => void upstream.destroy();
      incoming.socket.on('close', cut);
      upstream.end(body);
    });
  }
}

function send(outgoing: ServerResponse, { status, body }: Answer): void {
  outgoing.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' });
  outgoing.end(body);
}

function idOf(entry: unknown): string {
  const id: unknown = typeof entry === 'object' && entry !== null ? Reflect.get(entry, 'Id') : undefined;
  return typeof id === 'string' ? id : '';
}

function listOf(value: { readonly [name: string]: unknown }, name: string): readonly unknown[] {
  const list = value[name];
  return Array.isArray(list) ? list : [];
}

function objectOf(json: string): { readonly [name: string]: unknown } {
  const value: unknown = JSON.parse(json);
  if (typeof value === 'object' && value !== null) return { ...value };
  throw new PipelineError('usage', 'the SQS proxy takes the JSON protocol only');
}

async function textOf(stream: IncomingMessage): Promise<string> {
  let text = '';
  stream.setEncoding('utf8');
  for await (const chunk of stream) text += String(chunk);
  return text;
}
