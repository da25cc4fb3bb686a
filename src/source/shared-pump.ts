import { setMaxListeners } from 'node:events';
import type { Delivery } from '../batch.js';
import { Bell } from '../bell.js';
import type { ReceiveMode, Source } from './source.js';

/** Who receives by a pump, for as long as neither signal aborts. */
export interface Joined {
  readonly signal: AbortSignal;
  readonly halt: AbortSignal;
  /** Waited for before each receive, by whichever of them may receive first. */
  readonly admit: (signal: AbortSignal) => Promise<void>;
}

/** One receiving from the queue on behalf of all who have joined: it ends with the queue, or when the last has left. */
export class SharedPump {
  /** Resolves when it is over. Never rejects. */
  readonly ended: Promise<void>;
  readonly #joined = new Set<Joined>();
  /** Rings when somebody has joined, or receives no more. */
  readonly #changed = new Bell();
  readonly #cut = new AbortController();
  readonly #halt = new AbortController();
  #isOver = false;
  #failure: { readonly error: unknown } | null = null;

  constructor(
    source: Pick<Source, 'receive'>,
    mode: ReceiveMode,
    handOn: (deliveries: readonly Delivery[], cut: AbortSignal) => Promise<void>,
  ) {
    // Everything that waits for room listens; Node takes more than ten for a leak.
    setMaxListeners(0, this.#cut.signal, this.#halt.signal);
    this.ended = this.#run(source, mode, handOn);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Whether it brings no more messages, though it may still read what those point to that it has brought. */
  get isCut(): boolean {
    return this.#cut.signal.aborted;
  }

  /** What ended it, unless it ended well. */
  get failure(): { readonly error: unknown } | null {
    return this.#failure;
  }

  /** Returns what leaves again. */
  join(one: Joined): () => void {
    const look = (): void => this.#look();
    this.#joined.add(one);
    this.#changed.ring();
    one.signal.addEventListener('abort', look);
    one.halt.addEventListener('abort', look);
    return () => {
      one.signal.removeEventListener('abort', look);
      one.halt.removeEventListener('abort', look);
      this.#joined.delete(one);
      look();
    };
  }

  /** Resolves when one of those that receive may, or when `signal` aborts. */
  async admit(signal: AbortSignal): Promise<void> {
    let mayReceive = false;
    while (!mayReceive && !signal.aborted) {
      const asked = [...this.#joined].filter((one) => !one.signal.aborted);
      if (asked.length === 0) return;
      const done = new AbortController();
      const first = AbortSignal.any([signal, done.signal]);
      mayReceive = await Promise.race([
        ...asked.map((one) => one.admit(first).then(() => true)),
        this.#changed.wait(first).then(() => false),
      ]);
      done.abort();
    }
  }

  /** Ends it, whoever has joined. */
  stop(): Promise<void> {
    this.#cut.abort();
    this.#halt.abort();
    return this.ended;
  }

  #look(): void {
    this.#changed.ring();
    const joined = [...this.#joined];
    if (joined.every(({ signal }) => signal.aborted)) this.#cut.abort();
    if (joined.every(({ halt }) => halt.aborted)) this.#halt.abort();
  }

  async #run(
    source: Pick<Source, 'receive'>,
    mode: ReceiveMode,
    handOn: (deliveries: readonly Delivery[], cut: AbortSignal) => Promise<void>,
  ): Promise<void> {
    try {
      // Who begins it joins it first, and is asked before the first receive.
      await Promise.resolve();
      for await (const deliveries of source.receive(mode, this.#cut.signal, this.#halt.signal))
        await handOn(deliveries, this.#cut.signal);
    } catch (error) {
      this.#failure = { error };
    } finally {
      this.#isOver = true;
    }
  }
}
