// Protections in the flow: what an ingester holds, lets go, acks and releases.

import type { Mutant } from './mutant.js';

const PIPELINE = 'src/pipeline.ts';
const LETTING_GO = 'src/letting-go.ts';
const IN_FLIGHT = 'src/source/in-flight.ts';
const SETTLING = 'src/source/settling.ts';
const RECEIVERS = 'src/source/receivers.ts';
const unitPipeline = (name: string) => ({ file: 'unit/pipeline.test.ts', name });
const settling = (name: string) => ({ file: 'unit/source-settling.test.ts', name });

/** Mutants of the ingester. */
export const flowProtections: readonly Mutant[] = [
  {
    row: 'SQS delivers a message twice',
    name: 'receipts of one message are taken for one',
    file: IN_FLIGHT,
    replace: 'this.#held.set(receipt.handle, {',
    by: 'this.#held.set(receipt.messageId, {',
    tests: [
      {
        file: 'conformance/source.test.ts',
        name: 'two deliveries of one message are two receipts, acked in one call, and the older clears nothing',
      },
      {
        file: 'unit/source-in-flight.test.ts',
        name: 'room is given up to the limit in bytes, and again when something is settled',
      },
    ],
  },
  {
    row: 'a batch fails for good',
    name: 'released messages come back after the same delay',
    file: LETTING_GO,
    replace: 'RELEASE_BASE_MS * 2 ** (receipt.receiveCount - 1)',
    by: 'RELEASE_BASE_MS * (receipt.receiveCount > 0 ? 1 : 2)',
    tests: [
      {
        file: 'unit/letting-go.test.ts',
        name: 'stays away for 30 s at its first receive, doubling up to 15 min, and never longer',
      },
    ],
  },
  {
    row: 'a batch fails for good',
    name: 'released messages come back at once',
    file: PIPELINE,
    replace: 'stopping ? 0 : releaseDelayMs(receipt)',
    by: 'stopping ? 0 : releaseDelayMs(receipt) * 0',
    tests: [
      {
        file: 'integration/faults-release.test.ts',
        name: 'a batch that fails for good comes back after a delay that grows, until its queue gives it up: no tight loop',
      },
    ],
  },
  {
    row: 'a batch fails for good',
    name: 'a batch whose job has failed is waited for',
    file: LETTING_GO,
    replace: "if (inLoad[index] === 'failed') return true;",
    by: '',
    tests: [
      {
        file: 'unit/letting-go.test.ts',
        name: 'when its job has failed for good, in either queue, however young it is',
      },
    ],
  },
  {
    row: 'a batch fails for good',
    name: 'a run that had to let go succeeds',
    file: 'src/run.ts',
    replace: "if (fate.state === 'released') this.#batchesReleased += 1;",
    by: '',
    tests: [
      {
        file: 'integration/faults-release.test.ts',
        name: 'a batch that fails for good comes back after a delay that grows, until its queue gives it up: no tight loop',
      },
    ],
  },
  {
    row: 'a rejected message',
    name: 'what is held for the dead-letter queue is acked',
    file: 'src/run.ts',
    replace: "fate.state === 'released' || left.has(index))",
    by: "fate.state === 'released' || (index < 0 && left.has(index)))",
    tests: [
      {
        file: 'integration/faults-release.test.ts',
        name: 'a rejected message under on_reject: dlq is in the dead-letter queue once, and nowhere else',
      },
    ],
  },
  {
    row: 'DeleteMessageBatch fails',
    name: 'an entry that SQS refuses counts as deleted',
    file: SETTLING,
    replace: "results[index] !== 'done' && results[index] !== 'gone'",
    by: 'index < 0',
    tests: [settling('entries that fail are deleted again, they alone, and are held meanwhile')],
  },
  {
    row: 'DeleteMessageBatch fails',
    name: 'a delete whose answer was lost is not repeated',
    file: SETTLING,
    replace: 'failed.push(...ten);\n      }\n    };',
    by: '}\n    };',
    tests: [settling('a delete whose answer was lost is repeated')],
  },
  {
    row: 'receipt expired',
    name: 'no heartbeat',
    file: IN_FLIGHT,
    replace: '!this.#stopped.signal.aborted) this.#heartbeat ??= this.#beat();',
    by: 'this.#stopped.signal.aborted) this.#heartbeat ??= this.#beat();',
    tests: [
      {
        file: 'unit/source-in-flight.test.ts',
        name: 'visibility is extended at two fifths of its time, ten messages a call, for as long as they are held',
      },
    ],
  },
  {
    row: 'receipt expired',
    name: 'a receipt that is gone is extended for ever',
    file: IN_FLIGHT,
    replace: "if (results[index] !== 'gone') continue;\n        held.kept = false;",
    by: "if (results[index] !== 'gone') continue;",
    tests: [
      {
        file: 'unit/source-in-flight.test.ts',
        name: 'a receipt that SQS no longer knows is dropped from the heartbeat, counted once, and held until settled',
      },
    ],
  },
  {
    row: 'SQS throttles',
    name: 'SQS is asked as often in an outage as before',
    file: RECEIVERS,
    replace: 'const waitMs = backoffMs(clock, this.#failures, OUTAGE_BASE_MS, OUTAGE_MAX_MS);',
    by: 'const waitMs = OUTAGE_BASE_MS;',
    tests: [
      {
        file: 'unit/source-receivers.test.ts',
        name: 'while SQS is away one receiver asks, ever more rarely; then all go on by themselves',
      },
    ],
  },
  {
    row: 'SQS throttles',
    name: 'an endpoint that answers at once is asked in a tight loop',
    file: RECEIVERS,
    replace: 'const MIN_EMPTY_MS = 200;',
    by: 'const MIN_EMPTY_MS = 1;',
    tests: [
      {
        file: 'unit/source-receivers.test.ts',
        name: 'an endpoint that answers empty polls at once is not asked in a tight loop',
      },
    ],
  },
  {
    row: 'ingester SIGKILL',
    name: 'a batch is added before its receipts are remembered',
    file: PIPELINE,
    replace: 'run.hold(batch, receipts, clock.elapsed());\n',
    by: 'setImmediate(() => run.hold(batch, receipts, clock.elapsed()));\n',
    tests: [unitPipeline('holds the receipts of a batch before it adds the batch anywhere')],
  },
  {
    row: 'ingester SIGKILL',
    name: 'messages are acked before their commit',
    file: PIPELINE,
    replace: 'run.hold(batch, receipts, clock.elapsed());\n',
    by: 'run.hold(batch, receipts, clock.elapsed());\n      await source.ack(receipts);\n',
    tests: [unitPipeline('no message is deleted before its batch has a fate, however long that takes')],
  },
  {
    row: 'ingester SIGKILL',
    name: 'the run of an ingester that died stays open',
    file: 'src/load/runs.ts',
    replace: "set state = 'abandoned', finished_at = now()",
    by: "set state = 'running', finished_at = null",
    tests: [
      {
        file: 'integration/load-schema.test.ts',
        name: 'only a run whose owner has been silent is abandoned, and its late report still counts',
      },
    ],
  },
  {
    row: 'a message in several batches',
    name: 'a message is acked after any of its parts',
    file: 'src/parted.ts',
    replace: "if (message.open > 0 || !message.isWhole) return 'open';",
    by: '',
    tests: [
      {
        file: 'unit/run.test.ts',
        name: 'is acked when every part is committed, in whatever order, and no more is to come',
      },
    ],
  },
  {
    row: 'a message in several batches',
    name: 'a part that was let go is forgotten',
    file: 'src/parted.ts',
    replace: 'message.isReleased ||= isReleased;',
    by: 'message.isReleased = isReleased;',
    tests: [
      {
        file: 'unit/run.test.ts',
        name: 'is released once all parts have a fate, when one was released or holds a record back',
      },
    ],
  },
  {
    row: 'S3 throttles',
    name: 'the rest of an object may be that of another',
    file: 'src/source/object-reader.ts',
    replace: '{ ...place, eTag }',
    by: '{ ...place, eTag: eTag === null ? null : place.eTag }',
    tests: [
      {
        file: 'integration/source-s3.test.ts',
        name: 'an object that is overwritten in the middle of its reading is noticed',
      },
    ],
  },
];
