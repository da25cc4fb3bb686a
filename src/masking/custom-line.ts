// The line to a masker's thread: one question at a time, its answer waited for asleep.

import { fileURLToPath } from 'node:url';
import { MessageChannel, type MessagePort, Worker, receiveMessageOnPort } from 'node:worker_threads';

import { type Answer, type Question, type ThreadData, state } from './custom-exchange.js';
import type { CustomFile } from './custom-files.js';

/** Why no answer came: not in time, or the thread has ended. */
export type Silence = 'overdue' | 'ended';

const ENTRY = fileURLToPath(new URL('../../workers/masker.js', import.meta.url));
/** Room for a dictionary of a million names; a leak then ends the thread, and not the process. */
const MEMORY = { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 32, stackSizeMb: 4 };

/** A thread that runs a masker, and holds no process alive. */
export class CustomLine {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #signal: Int32Array<SharedArrayBuffer>;

  constructor(files: readonly CustomFile[]) {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#signal = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
    const workerData: ThreadData = { signal: this.#signal, port: port2, files };
    this.#worker = new Worker(ENTRY, {
      workerData,
      transferList: [port2],
      resourceLimits: MEMORY,
      env: {},
      argv: [],
      execArgv: ['--no-warnings'],
      // The thread itself throws away what is printed in it: reading it here would hold the process alive.
      stdout: true,
      stderr: true,
    });
    // The text of the error that it ends with may hold values.
    this.#worker.on('error', () => undefined);
    this.#worker.on('exit', () => this.#note(state.ended));
    this.#worker.unref();
  }

  get hasEnded(): boolean {
    return Atomics.load(this.#signal, 0) === state.ended;
  }

  /** The answer to a question. Sleeps for `limitMs` at most; after a silence, the line is of no more use. */
  ask(question: Question, limitMs: number): Answer | Silence {
    const before = Atomics.compareExchange(this.#signal, 0, state.answered, state.asked);
    if (before !== state.answered) return 'ended';
    this.#port.postMessage(question, []);
    return this.answer(limitMs);
  }

  /** The next answer: the first one comes unasked. Who was too early may wait for it again. */
  answer(limitMs: number): Answer | Silence {
    Atomics.wait(this.#signal, 0, state.asked, limitMs);
    const received: { readonly message: Answer } | undefined = receiveMessageOnPort(this.#port);
    if (received) return received.message;
    return this.hasEnded ? 'ended' : 'overdue';
  }

  /** Ends the thread, whatever it does. */
  end(): void {
    this.#note(state.ended);
    this.#port.close();
    this.#worker.terminate().catch(() => undefined);
  }

  #note(word: number): void {
    Atomics.store(this.#signal, 0, word);
  }
}
