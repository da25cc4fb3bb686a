// The ports of the flow with failpoints before and after each call; the flow itself knows nothing of them.

import type { Batch, Delivery, MaskedBatch } from '../batch.js';
import type { CommitStep } from '../load/postgres.js';
import type { Sink } from '../load/sink.js';
import type { Masker } from '../masking/mask.js';
import type { BatchQueue } from '../queue/queue.js';
import type { Source } from '../source/source.js';
import type { FailpointName } from './failpoint-syntax.js';
import type { Failpoints } from './failpoints.js';

/** Sets failpoints around ports. What comes out has all that went in, so that only the calls of the flow change. */
export class FailpointPorts {
  readonly #points: Failpoints;

  constructor(points: Failpoints) {
    this.#points = points;
  }

  queues<
    Q extends { readonly transformQueue: BatchQueue<Batch>; readonly loadQueue: BatchQueue<MaskedBatch> },
  >(queues: Q): Q {
    return {
      ...queues,
      transformQueue: this.#queue(queues.transformQueue, 'add_batch', 'transform'),
      loadQueue: this.#queue(queues.loadQueue, 'add_masked', 'load'),
    };
  }

  sink(sink: Sink): Sink {
    return {
      commit: (batch) => this.#around('commit', { batchId: batch.batchId }, () => sink.commit(batch)),
      fates: (ids) => this.#around('fates', { count: ids.length }, () => sink.fates(ids)),
      letGo: (batches) => this.#around('let_go', { count: batches.length }, () => sink.letGo(batches)),
    };
  }

  /** For the sink's `onStep`: within the transaction, and after its COMMIT. */
  readonly commitStep = (step: CommitStep, batchId: string): Promise<void> =>
    this.#points.pass(`load.${step}`, { batchId });

  /** For a reveal: its record is committed, and nothing is opened yet. */
  readonly revealRecorded = (): Promise<void> => this.#points.pass('reveal.recorded');

  source<S extends Source>(source: S): S {
    const points = this.#points;
    return overlaid<Source, S>(source, {
      async *receive(mode, signal, halt): AsyncGenerator<readonly Delivery[], void, undefined> {
        await points.pass('receive.before');
        for await (const deliveries of source.receive(mode, signal, halt)) {
          await points.pass('receive.after', { count: deliveries.length });
          yield deliveries;
          await points.pass('receive.before');
        }
      },
      ack: (receipts) => this.#around('ack', { count: receipts.length }, () => source.ack(receipts)),
      release: (receipts, delayMs) =>
        this.#around('release', { count: receipts.length }, () => source.release(receipts, delayMs)),
    });
  }

  masker<M extends Masker>(masker: M): M {
    return {
      ...masker,
      mask: (batch, tokens) => {
        const { batchId } = batch;
        this.#points.passSync('mask.before', { batchId });
        const masked = masker.mask(batch, tokens);
        this.#points.passSync('mask.after', { batchId });
        return masked;
      },
    };
  }

  #queue<T extends Batch | MaskedBatch>(
    queue: BatchQueue<T>,
    add: 'add_batch' | 'add_masked',
    job: 'transform' | 'load',
  ): BatchQueue<T> {
    return overlaid<BatchQueue<T>, BatchQueue<T>>(queue, {
      add: (batch) => this.#around(add, { batchId: batch.batchId }, () => queue.add(batch)),
      states: (ids) => this.#around('states', { count: ids.length }, () => queue.states(ids)),
      process: (handler, options) =>
        queue.process(
          (batch, ...rest) => this.#around(job, { batchId: batch.batchId }, () => handler(batch, ...rest)),
          options,
        ),
    });
  }

  async #around<T>(
    call: Around<FailpointName>,
    passage: { readonly batchId?: string; readonly count?: number },
    work: () => Promise<T>,
  ): Promise<T> {
    // Calls about nothing are many, and make no difference.
    if (passage.count === 0) return work();
    await this.#points.pass(`${call}.before`, passage);
    let result: T;
    try {
      result = await work();
    } catch (error) {
      this.#points.note(`${call}.failed`, passage);
      throw error;
    }
    await this.#points.pass(`${call}.after`, passage);
    return result;
  }
}

/** The calls that have a point on either side. */
type Around<Name> = Name extends `${infer Call}.before` ? Call : never;

/** The same object but for some of its methods. Private state needs the others to be called on the object itself. */
function overlaid<Port, T extends Port & object>(inner: T, over: Partial<Port>): T {
  return new Proxy(inner, {
    get: (target, name): unknown => {
      if (Object.hasOwn(over, name)) return Reflect.get(over, name);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
