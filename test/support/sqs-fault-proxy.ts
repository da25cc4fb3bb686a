import { type IncomingMessage, type Server, type ServerResponse, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One API call, as it passed through. */
export interface SqsCall {
  /** As in `ReceiveMessage`. */
  readonly action: string;
  readonly input: { readonly [name: string]: unknown };
  readonly at: number;
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

interface Entry {
  readonly Id: string;
}

/** An HTTP proxy before an SQS endpoint that misbehaves on demand, call by call, and notes every call. */
export class SqsFaultProxy {
  readonly calls: SqsCall[] = [];
  /** Asked at each call. */
  fault: (call: SqsCall) => SqsFault | null = () => null;
  readonly #upstreamPort: number;
  readonly #server: Server;

  constructor(upstreamPort: number) {
    this.#upstreamPort = upstreamPort;
    this.#server = createServer((incoming, outgoing) => {
      void this.#handle(incoming, outgoing).catch(() => incoming.socket.destroy());
    });
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Calls of one action. */
  of(action: string): readonly SqsCall[] {
    return this.calls.filter((call) => call.action === action);
  }

  async #handle(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const body = await textOf(incoming);
    const action = String(incoming.headers['x-amz-target']).replace('AmazonSQS.', '');
    const input = JSON.parse(body) as { [name: string]: unknown };
    const call = { action, input, at: Date.now() };
    this.calls.push(call);
    const fault = this.fault(call);
    if (fault?.kind === 'reset') return void incoming.socket.resetAndDestroy();
    if (fault?.kind === 'error')
      return send(outgoing, fault.status, JSON.stringify({ __type: fault.type, message: '-' }));
    const failed = fault?.kind === 'fail_entries' ? fault.ids(entries(input).map((entry) => entry.Id)) : [];
    const passed = entries(input).filter((entry) => !failed.includes(entry.Id));
    const answer =
      failed.length > 0 && passed.length === 0
        ? { status: 200, body: '{"Successful":[],"Failed":[]}' }
        : await this.#pass(
            incoming,
            failed.length > 0 ? JSON.stringify({ ...input, Entries: passed }) : body,
          );
    if (fault?.kind === 'lost_answer') return void incoming.socket.resetAndDestroy();
    if (fault?.kind === 'answer') return send(outgoing, answer.status, fault.change(answer.body));
    if (fault?.kind !== 'fail_entries') return send(outgoing, answer.status, answer.body);
    const parsed = JSON.parse(answer.body) as { Failed: unknown[] };
    const Failed = failed.map((Id) => ({ Id, Code: fault.code, SenderFault: false, Message: '-' }));
    send(outgoing, 200, JSON.stringify({ ...parsed, Failed: [...parsed.Failed, ...Failed] }));
  }

  #pass(
    incoming: IncomingMessage,
    body: string,
  ): Promise<{ readonly status: number; readonly body: string }> {
    return new Promise((resolve, reject) => {
      const headers = { ...incoming.headers, 'content-length': Buffer.byteLength(body) };
      const upstream = request(
        {
          host: '127.0.0.1',
          port: this.#upstreamPort,
          method: 'POST',
          path: incoming.url,
          headers,
          agent: false,
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
      const cut = (): void => void upstream.destroy();
      incoming.socket.on('close', cut);
      upstream.end(body);
    });
  }
}

function entries(input: { readonly [name: string]: unknown }): readonly Entry[] {
  return Array.isArray(input['Entries']) ? (input['Entries'] as Entry[]) : [];
}

function send(outgoing: ServerResponse, status: number, body: string): void {
  outgoing.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' });
  outgoing.end(body);
}

async function textOf(stream: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
