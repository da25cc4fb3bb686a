import { once } from 'node:events';
import { type Server, type Socket, connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** What happens to connections; everything but `pass` lasts until something else is set. */
export type ProxyFault =
  | { readonly kind: 'pass' }
  /** All are cut, and nobody listens. */
  | { readonly kind: 'refuse' }
  /** They stay, and new ones are accepted, but nothing comes through, either way. */
  | { readonly kind: 'black_hole' }
  /** What is said arrives and has its effect, and no answer comes; or the other way round. */
  | { readonly kind: 'one_way'; readonly lost: 'answers' | 'requests' }
  | { readonly kind: 'slow'; readonly ms: number }
  /** Each connection is cut within the answer after so many bytes of it, the next ones too. */
  | { readonly kind: 'cut_answers'; readonly bytes: number };

/** Between tries to listen again on a port that was just given up. */
const RELISTEN_MS = 20;

/** A TCP proxy on loopback that can misbehave: between maskline and a server, to be the network that fails. */
export class FaultProxy {
  readonly #upstreamPort: number;
  readonly #pairs = new Set<Pair>();
  #server: Server | null = null;
  #port = 0;
  #fault: ProxyFault = { kind: 'pass' };
  #settled: Promise<void> = Promise.resolve();

  private constructor(upstreamPort: number) {
    this.#upstreamPort = upstreamPort;
  }

  /** Starts one on a free port, before a server on this machine. */
  static async start(upstreamPort: number): Promise<FaultProxy> {
    const proxy = new FaultProxy(upstreamPort);
    await proxy.#listen();
    return proxy;
  }

  get port(): number {
    return this.#port;
  }

  get connections(): number {
    return this.#pairs.size;
  }

  /**
   * From now on this happens. Connections from which something was withheld are cut when it ends: what is missing in
   * a stream can't be made up for.
   */
  async set(fault: ProxyFault): Promise<void> {
    const before = this.#fault;
    this.#fault = fault;
    if (withholds(before) && !withholds(fault)) this.cut();
    for (const pair of this.#pairs) pair.apply(fault);
    this.#settled = this.#settled.then(async () => {
      if (fault.kind === 'refuse') await this.#close();
      else if (this.#server === null) await this.#listen();
    });
    await this.#settled;
  }

  /**
   * From now on nothing comes through the connections that are there, either way, and nobody hears of it; new ones
   * are as the fault says. Returns how many there were.
   */
  silence(): number {
    for (const pair of this.#pairs) pair.silence();
    return this.#pairs.size;
  }

  /** Cuts every connection by a reset; returns how many there were. */
  cut(): number {
    const count = this.#pairs.size;
    for (const pair of this.#pairs) pair.cut();
    return count;
  }

  async stop(): Promise<void> {
    await this.#settled;
    await this.#close();
  }

  async #listen(): Promise<void> {
    for (;;) {
      const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client));
      server.listen(this.#port, '127.0.0.1');
      try {
        await once(server, 'listening');
      } catch (error) {
        // Somebody's outgoing connection may have the port for a moment.
        if (this.#port === 0) throw error;
        await delay(RELISTEN_MS);
        continue;
      }
      const address = server.address();
      this.#port = typeof address === 'object' && address ? address.port : 0;
      this.#server = server;
      return;
    }
  }

  async #close(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    const closed = once(server, 'close');
    server.close();
    this.cut();
    await closed;
  }

  #accept(client: Socket): void {
    const upstream = connect({
      host: '127.0.0.1',
      port: this.#upstreamPort,
      allowHalfOpen: true,
      noDelay: true,
    });
    const pair = new Pair(client, upstream, () => this.#pairs.delete(pair));
    this.#pairs.add(pair);
    pair.apply(this.#fault);
  }
}

function withholds({ kind }: ProxyFault): boolean {
  return kind === 'black_hole' || kind === 'one_way';
}

/** One connection, and the one behind it. */
class Pair {
  readonly #client: Socket;
  readonly #upstream: Socket;
  #fault: ProxyFault = { kind: 'pass' };
  #left = Infinity;
  #isSilenced = false;
  readonly #ending = new Set<Socket>();

  constructor(client: Socket, upstream: Socket, onClosed: () => void) {
    this.#client = client;
    this.#upstream = upstream;
    this.#carry(client, upstream, 'requests');
    this.#carry(upstream, client, 'answers');
    client.once('close', onClosed);
  }

  silence(): void {
    this.apply({ kind: 'black_hole' });
    this.#isSilenced = true;
  }

  apply(fault: ProxyFault): void {
    if (this.#isSilenced) return;
    this.#fault = fault;
    this.#left = fault.kind === 'cut_answers' ? fault.bytes : Infinity;
    for (const socket of [this.#client, this.#upstream]) {
      if (fault.kind === 'black_hole') socket.pause();
      else socket.resume();
    }
  }

  cut(): void {
    for (const socket of [this.#client, this.#upstream]) this.#end(socket);
  }

  /**
   * By a reset where that can be: Node sends one only when all is written, and never closes a socket that is reset, or
   * destroyed, while it is being ended.
   */
  #end(socket: Socket): void {
    if (this.#ending.has(socket)) return;
    this.#ending.add(socket);
    const isIdle = !socket.connecting && !socket.writableEnded && socket.writableLength === 0;
    if (isIdle && !socket.destroyed) socket.resetAndDestroy();
    else socket.destroy();
  }

  #carry(from: Socket, to: Socket, what: 'requests' | 'answers'): void {
    // Both ends go together, and by a reset: one that is killed sends nothing nicer.
    from.on('error', () => undefined);
    from.on('close', () => this.#end(to));
    let due = 0;
    from.on('end', () => setTimeout(() => to.end(), Math.max(0, due - Date.now())));
    from.on('data', (chunk: Buffer) => {
      const fault = this.#fault;
      if (fault.kind === 'one_way' && fault.lost === what) return;
      if (what === 'answers' && this.#left < Infinity) return this.#cutWithin(chunk);
      const now = Date.now();
      if (fault.kind === 'slow') due = Math.max(due, now + fault.ms);
      if (due > now) setTimeout(() => to.writable && to.write(chunk), due - now);
      else if (!to.write(chunk)) {
        from.pause();
        to.once('drain', () => {
          if (this.#fault.kind !== 'black_hole') from.resume();
        });
      }
    });
  }

  #cutWithin(answer: Buffer): void {
    const part = answer.subarray(0, this.#left);
    this.#left -= part.length;
    if (this.#left > 0) this.#client.write(part);
    else this.#client.write(part, () => this.cut());
  }
}
