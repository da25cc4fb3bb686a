import type { AttemptSettings } from '../../src/queue/attempts.js';
import { BAD, UNFIT } from './fake-masker.js';
import type { Expected } from './oracle.js';
import { partedBody } from './fake-pointers.js';
import type { Dice } from './scheduler.js';
import type { IngesterSettings } from './sim-ingester.js';

/** What a schedule draws before it begins. */
export interface Setup {
  readonly messages: readonly {
    readonly body: string;
    /** Of its records, in their order. */
    readonly expected: readonly Expected[];
    readonly afterMs: number;
    readonly groupId: string | null;
  }[];
  /** `memory`: every process is an ingester with queues and workers of its own. */
  readonly topology: 'bullmq' | 'memory';
  /** The queue is a FIFO queue of so many groups; `block` as in `fifo: block`, null for a standard queue. */
  readonly fifo: { readonly groups: number; readonly mode: 'skip' | 'block' } | null;
  /** `on_reject: dlq`. */
  readonly held: boolean;
  readonly maxReceiveCount: number | null;
  readonly ingesters: number;
  readonly transformers: number;
  readonly loaders: number;
  readonly concurrency: number;
  readonly ingester: IngesterSettings;
  readonly attempts: AttemptSettings;
  /** About the time between two disasters. */
  readonly calmMs: number;
}

const MAX_MESSAGES = 12;
/** So many messages of a standard queue come in parts, of which each holds a few records. */
const IN_PARTS = 0.1;
const MAX_PARTS = 4;
const MAX_PART_RECORDS = 2;
/** Most are there from the start, the others come within so long. */
const ARRIVAL_MS = 60_000;
/** As good as for ever: everything but stuck jobs must come to its end without the limit. */
export const LONG_RESIDENCE_MS = 24 * 3_600_000;

/** Draws a setup: small, so that everything meets everything. */
export function drawSetup(dice: Dice): Setup {
  const fifo = dice.chance(0.25)
    ? { groups: dice.whole(1, 3), mode: dice.pick(['skip', 'block'] as const) }
    : null;
  const held = dice.chance(0.2) && fifo === null;
  const blocks = fifo?.mode === 'block';
  return {
    messages: Array.from({ length: dice.whole(4, MAX_MESSAGES) }, (_, n) => {
      const message = drawMessage(dice, n, held);
      return {
        ...message,
        // What holds its group is mended in the end.
        expected: blocks ? message.expected.map(() => 'target') : message.expected,
        groupId: fifo === null ? null : `group-${dice.whole(1, fifo.groups)}`,
      };
    }),
    fifo,
    topology: dice.chance(0.15) ? 'memory' : 'bullmq',
    held,
    maxReceiveCount: held ? 5 : null,
    ingesters: dice.whole(1, 2),
    transformers: dice.whole(1, 2),
    loaders: dice.whole(1, 2),
    concurrency: dice.whole(1, 2),
    ingester: {
      mode: dice.chance(0.7) ? 'until_empty' : 'continuous',
      tickMs: dice.between(3_000, 45_000),
      residenceMs: dice.pick([5_000, 45_000, 180_000, LONG_RESIDENCE_MS]),
      receivers: dice.whole(1, 2),
      inFlight: dice.pick([10, 20, 100]),
      visibilityTimeoutS: 30,
      batching: { maxMessages: dice.whole(2, 6), maxBytes: 1 << 20, lingerMs: dice.between(0, 1_000) },
    },
    attempts: { attempts: dice.whole(1, 3), baseMs: 1_000, maxMs: 30_000, newerMs: 5_000 },
    calmMs: dice.between(2_000, 20_000),
  };
}

/** A FIFO queue that is larger than usual: so many groups of so many messages each. */
export interface FifoSize {
  readonly groups: number;
  readonly perGroup: number;
  readonly mode: 'skip' | 'block';
}

/** One in so many can't become a row; of a large schedule under `block` all groups would soon be held otherwise. */
const LARGE_BAD_EVERY = 500;

/** Draws the setup of a large FIFO queue: all is there from the start, and everything else as it is drawn for small ones. */
export function drawFifo(dice: Dice, { groups, perGroup, mode }: FifoSize): Setup {
  const small = drawSetup(dice);
  return {
    ...small,
    messages: Array.from({ length: groups * perGroup }, (_, n) => {
      const kind = dice.chance(1 / LARGE_BAD_EVERY) ? dice.pick([BAD, UNFIT]) : 'good';
      const expected = kind === 'good' || mode === 'block' ? 'target' : 'quarantine';
      return { body: `${kind} ${n}`, expected: [expected], afterMs: 0, groupId: `group-${n % groups}` };
    }),
    fifo: { groups, mode },
    held: false,
    maxReceiveCount: null,
    ingesters: 2,
    ingester: {
      ...small.ingester,
      tickMs: 3_000,
      receivers: 4,
      inFlight: 2_000,
      batching: { ...small.ingester.batching, maxMessages: 100, lingerMs: 50 },
    },
  };
}

function drawMessage(dice: Dice, n: number, held: boolean): Omit<Setup['messages'][number], 'groupId'> {
  const afterMs = dice.chance(0.6) ? 0 : dice.between(0, ARRIVAL_MS);
  if (!dice.chance(IN_PARTS)) {
    const { body, expected } = drawRecord(dice, String(n), held);
    return { body, expected: [expected], afterMs };
  }
  const parts = Array.from({ length: dice.whole(1, MAX_PARTS) }, (_, part) =>
    Array.from({ length: dice.whole(1, MAX_PART_RECORDS) }, (__, index) =>
      drawRecord(dice, `${n}.${part}.${index}`, held),
    ),
  );
  const body = partedBody(parts.map((records) => records.map((record) => record.body)));
  return { body, expected: parts.flat().map((record) => record.expected), afterMs };
}

function drawRecord(
  dice: Dice,
  name: string,
  held: boolean,
): { readonly body: string; readonly expected: Expected } {
  const roll = dice.next();
  if (roll < 0.2) return { body: `${BAD} ${name}`, expected: held ? 'dead_letters' : 'quarantine' };
  if (roll < 0.3) return { body: `${UNFIT} ${name}`, expected: 'quarantine' };
  return { body: `good ${name}`, expected: 'target' };
}
