import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { PipelineError } from '../errors.js';
import type { Releases } from '../lifecycle.js';

/** What the emulator's process can be told. */
export type SqsOrder = { readonly id: number; readonly queue: string } & (
  | { readonly kind: 'create'; readonly attributes: Readonly<{ [name: string]: string }> }
  | {
      readonly kind: 'send';
      readonly seed: number;
      readonly from: number;
      readonly count: number;
      /** Of a FIFO queue: message i is of group i modulo this. */
      readonly groups: number | null;
    }
  | { readonly kind: 'redeliver'; readonly ids: readonly string[] }
);

/** What it answers; the first answer, to no order, has its port. */
export type SqsAnswer =
  | { readonly id: number; readonly ids: readonly string[]; readonly port?: number }
  | { readonly id: number; readonly error: string };

type OrderOf<Kind extends SqsOrder['kind']> = Omit<SqsOrder & { readonly kind: Kind }, 'id' | 'kind'>;

/** Messages of one order: few enough that others need not wait long. */
const SENT_AT_ONCE = 2_000;

/** The SQS emulator as a process. */
export class SqsChild {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: SqsAnswer) => void>();
  #orders = 0;

  constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
    child.on('message', (answer: SqsAnswer) => {
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
    child.once('exit', () => {
      for (const [id, tell] of this.#waiting) tell({ id, error: 'the SQS emulator has ended' });
    });
  }

  /** Returns the ARN. */
  async createQueue(queue: string, attributes: Readonly<{ [name: string]: string }> = {}): Promise<string> {
    const [arn = ''] = await this.#order<'create'>('create', { queue, attributes });
    return arn;
  }

  /** Sends the messages of a seed from one index on; returns their ids in order. */
  async send(
    queue: string,
    { seed, from, count, groups }: Omit<OrderOf<'send'>, 'queue'>,
  ): Promise<readonly string[]> {
    const ids: string[] = [];
    while (ids.length < count) {
      const next = {
        queue,
        seed,
        groups,
        from: from + ids.length,
        count: Math.min(SENT_AT_ONCE, count - ids.length),
      };
      ids.push(...(await this.#order<'send'>('send', next)));
    }
    return ids;
  }

  /** Delivers messages once more, under their own ids; those that were not received yet are left out. */
  async redeliver(queue: string, ids: readonly string[]): Promise<readonly string[]> {
    return this.#order<'redeliver'>('redeliver', { queue, ids });
  }

  async #order<Kind extends SqsOrder['kind']>(kind: Kind, order: OrderOf<Kind>): Promise<readonly string[]> {
    this.#orders += 1;
    const id = this.#orders;
    const answered = new Promise<SqsAnswer>((resolve) => this.#waiting.set(id, resolve));
    this.#child.send({ ...order, kind, id });
    const answer = await answered;
    if ('error' in answer) throw new PipelineError('sqs_unavailable', `the SQS emulator: ${answer.error}`);
    return answer.ids;
  }
}

/** Starts the emulator in a process of its own. Throws `sqs_unavailable` when it does not come up. */
export async function startSqsChild(releases: Releases): Promise<SqsChild> {
  const script = fileURLToPath(new URL('./sqs-process.js', import.meta.url));
  const child = await releases.acquire(fork(script, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }), stop);
  const [ready]: readonly unknown[] = await Promise.race([
    once(child, 'message').then((told: readonly unknown[]) => told),
    once(child, 'exit').then((): never => {
      throw new PipelineError('sqs_unavailable', 'the process of the SQS emulator ended at its start');
    }),
  ]);
  return new SqsChild(child, portOf(ready));
}

function portOf(answer: unknown): number {
  const port: unknown =
    typeof answer === 'object' && answer !== null ? Reflect.get(answer, 'port') : undefined;
  if (typeof port === 'number') return port;
  throw new PipelineError('sqs_unavailable', 'the process of the SQS emulator did not tell its port');
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  if (child.connected) child.disconnect();
  await ended;
}
