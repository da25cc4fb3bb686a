import type { Delivery, Receipt } from '../batch.js';
import type { ReceiveMode } from './source.js';
import type { SqsSource } from './sqs-source.js';

/** One of the queues while it is received from. */
interface Stream {
  readonly queue: number;
  readonly iterator: AsyncIterator<readonly Delivery[]>;
  /** What it brings next, once that was asked for. */
  pending: Promise<Step> | null;
}

/** What a queue brought, and that is was the last; an error as a value, since nobody may await it for a while. */
type Step =
  | { readonly kind: 'deliveries'; readonly deliveries: readonly Delivery[] }
  | { readonly kind: 'end'; readonly failure: { readonly error: unknown } | null };

/**
 * Several queues as one source, which owns them. Each keeps its own receivers, limits, heartbeat and end, so that a busy
 * one takes nothing from the others and an idle one costs what it costs alone; they are handed on in turn. A queue that
 * is away is waited for while the others are received from; one that only people can mend ends receiving from all.
 */
export function joinSources(sources: readonly SqsSource[]): SqsSource {
  const [only, ...others] = sources;
  if (only === undefined) throw new TypeError('there is no queue to receive from');
  if (others.length === 0) return only;
  const toEach = async (
    receipts: readonly Receipt[],
    spend: (source: SqsSource, own: readonly Receipt[]) => Promise<void>,
  ): Promise<void> => {
    const own = sources.map((_, queue) => receipts.filter((receipt) => receipt.queue === queue));
    await Promise.all(sources.map((source, queue) => spend(source, own[queue] ?? [])));
  };
  const holding = (key: 'messages' | 'bytes'): number =>
    sources.reduce((sum, source) => sum + source.holding[key], 0);
  return {
    receive: (mode, signal, halt = signal) => inTurn(sources, mode, signal, halt),
    ack: (receipts) => toEach(receipts, (source, own) => source.ack(own)),
    release: (receipts, delayMs) => toEach(receipts, (source, own) => source.release(own, delayMs)),
    depth: async () => {
      const depths = await Promise.all(sources.map((source) => source.depth()));
      const sum = (key: keyof (typeof depths)[number]): number =>
        depths.reduce((total, depth) => total + depth[key], 0);
      return { visible: sum('visible'), inFlight: sum('inFlight'), delayed: sum('delayed') };
    },
    stop: async (mode) => {
      await Promise.all(sources.map((source) => source.stop(mode)));
    },
    get holding() {
      return { messages: holding('messages'), bytes: holding('bytes') };
    },
  };
}

/** See `Source.receive`. Ends when all have ended; after a failure of one, what the others have handed out still comes. */
async function* inTurn(
  sources: readonly SqsSource[],
  mode: ReceiveMode,
  signal: AbortSignal,
  halt: AbortSignal,
): AsyncGenerator<readonly Delivery[], void, undefined> {
  const cut = new AbortController();
  const [end, stop] = [AbortSignal.any([signal, cut.signal]), AbortSignal.any([halt, cut.signal])];
  // Who has just been served is last: where several have something, all get their turn.
  const turns = sources.map((source, queue): Stream => {
    const iterator = source.receive(mode, end, stop)[Symbol.asyncIterator]();
    return { queue, iterator, pending: null };
  });
  let failure: { readonly error: unknown } | null = null;
  try {
    while (turns.length > 0) {
      const { stream, step } = await Promise.race(
        turns.map(async (each) => ({ stream: each, step: await (each.pending ??= next(each)) })),
      );
      stream.pending = null;
      turns.splice(turns.indexOf(stream), 1);
      if (step.kind === 'end') {
        failure ??= step.failure;
        if (step.failure !== null) cut.abort();
        continue;
      }
      turns.push(stream);
      yield step.deliveries;
    }
    if (failure !== null) throw failure.error;
  } finally {
    cut.abort();
    await Promise.all(turns.map((stream) => giveUp(stream, sources)));
  }
}

async function next({ queue, iterator }: Stream): Promise<Step> {
  try {
    const step = await iterator.next();
    if (step.done === true) return { kind: 'end', failure: null };
    const deliveries = step.value.map(({ receipt, ...delivery }) => ({
      ...delivery,
      receipt: { ...receipt, queue },
    }));
    return { kind: 'deliveries', deliveries };
  } catch (error) {
    return { kind: 'end', failure: { error } };
  }
}

/** What was asked for, and nobody takes any more, goes back. */
async function giveUp({ queue, iterator, pending }: Stream, sources: readonly SqsSource[]): Promise<void> {
  const step = await pending;
  if (step?.kind === 'deliveries') {
    await sources[queue]?.release(
      step.deliveries.map(({ receipt }) => receipt),
      () => 0,
    );
  }
  await iterator.return?.();
}
