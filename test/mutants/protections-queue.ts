// Protections between the stages: the queues, their workers, back-pressure, outages.

import type { Mutant } from './mutant.js';

const PIPELINE = 'src/pipeline.ts';
const LETTING_GO = 'src/letting-go.ts';
const RECEIVERS = 'src/source/receivers.ts';
const CONSUMER = 'src/queue/bullmq-consumer.ts';
const SEALED = 'src/queue/sealed.ts';
const unitPipeline = (name: string) => ({ file: 'unit/pipeline.test.ts', name });

/** Mutants of what is between the stages. */
export const queueProtections: readonly Mutant[] = [
  {
    row: 'transform worker SIGKILL',
    name: 'locks of twice the length',
    file: CONSUMER,
    replace: '{ lockMs: 15_000, stalledMs: 4_000 }',
    by: '{ lockMs: 30_000, stalledMs: 4_000 }',
    tests: [
      {
        file: 'integration/queue-redis.test.ts',
        name: 'with the default settings, what a killed worker held is taken over within 20 s',
      },
    ],
  },
  {
    row: 'load worker SIGKILL',
    name: 'a batch is done for the queue when its loader begins',
    file: 'src/queue/bullmq-consumer.ts',
    replace: 'await handle(batchId, job.data, this.#hardStop.signal, this.#takeoverOf(job));',
    by: 'handle(batchId, job.data, this.#hardStop.signal, this.#takeoverOf(job)).catch(() => undefined);',
    tests: [
      {
        file: 'conformance/queue.test.ts',
        name: 'a handler that throws is tried again up to the attempts; then the batch is kept as failed',
      },
    ],
  },
  {
    row: 'the transform backlog alone',
    name: 'the intake does not close',
    file: 'src/roles/intake.ts',
    replace: "if (isFull) return 'queue_memory';",
    by: '',
    tests: [
      {
        file: 'integration/back-pressure.test.ts',
        name: 'a Redis that is nearly full is given nothing more, and all goes on by itself when there is room',
      },
    ],
  },
  {
    row: 'the transform backlog alone',
    name: 'receivers do not ask the intake',
    file: RECEIVERS,
    replace: 'await admit(this.#end.signal);',
    by: '',
    tests: [
      {
        file: 'integration/back-pressure.test.ts',
        name: 'a Redis that is nearly full is given nothing more, and all goes on by itself when there is room',
      },
    ],
  },
  {
    row: 'Redis SIGKILL',
    name: 'a batch that no queue knows is waited for',
    file: LETTING_GO,
    replace: "return inLoad[index] === 'absent' && now - batch.heldAt > MISSING_AFTER_MS;",
    by: "return inLoad[index] === 'absent' && now < batch.heldAt;",
    tests: [
      {
        file: 'unit/letting-go.test.ts',
        name: 'when no queue knows it and it was added more than 30 s ago',
      },
    ],
  },
  {
    row: 'Redis SIGKILL',
    name: 'a failed job of the same id swallows its batch',
    file: 'src/queue/bullmq.ts',
    replace: "if (states[0] !== 'failed') return;",
    by: 'if (states.length > 0) return;',
    tests: [
      {
        file: 'conformance/queue.test.ts',
        name: 'a failed batch that is added again starts over with all its attempts',
      },
    ],
  },
  {
    row: 'Postgres immediate shutdown within COPY',
    name: 'an outage is an attempt',
    file: 'src/policy.ts',
    replace: "postgres_unavailable: { action: 'wait'",
    by: "postgres_unavailable: { action: 'retry'",
    tests: [unitPipeline('waits out an outage, and returns the report of the batch')],
  },
  {
    row: 'adding batches stops half-way',
    name: 'a batch that could not be added is forgotten',
    file: PIPELINE,
    replace: 'failures.push(error);\n',
    by: '',
    tests: [
      unitPipeline('a batch that cannot be added ends the run: the rest is held, and all of it let go'),
      {
        file: 'integration/faults-queue.test.ts',
        name: 'adding stops half-way since Redis is full: what was added is known by id, the rest waits unacked',
      },
    ],
  },
  {
    row: 'two deployments of different versions',
    name: 'a payload of a newer version is read',
    file: SEALED,
    replace: 'if (version > PAYLOAD_VERSION) throw newer(version, PAYLOAD_VERSION);',
    by: '',
    tests: [
      {
        file: 'unit/queue-payload.test.ts',
        name: 'a newer payload, or a newer frame in it, is left to a newer worker',
      },
    ],
  },
  {
    row: 'two deployments of different versions',
    name: 'what a newer version wrote costs an attempt',
    file: 'src/queue/attempts.ts',
    replace: "if (error.code === 'payload_newer') return 'put_back';",
    by: '',
    tests: [
      {
        file: 'conformance/queue.test.ts',
        name: 'what a newer version wrote is put back, and spends no attempt',
      },
    ],
  },
  {
    row: 'FIFO queue',
    name: 'a group is split over batches',
    file: 'src/source/batching.ts',
    replace: 'sequenceNumber === undefined ? undefined : groupId;',
    by: 'sequenceNumber === undefined ? groupId : undefined;',
    tests: [
      {
        file: 'unit/source-batching.test.ts',
        name: 'what one receive returned of a FIFO group stays in one batch, in order, even beyond its limit',
      },
    ],
  },
  {
    row: 'FIFO queue',
    name: 'a group is released message by message',
    file: 'src/source/together.ts',
    replace: "return (receipt) => longest.get(receipt.groupId ?? '') ?? delayMs(receipt);",
    by: 'return (receipt) => (longest.size < 0 ? 0 : delayMs(receipt));',
    tests: [
      {
        file: 'unit/source-settling.test.ts',
        name: 'what was received of a FIFO group is released at one moment and in one call',
      },
    ],
  },
  {
    row: 'FIFO queue',
    name: 'of a group that is held only the rejected message is',
    file: 'src/load/groups.ts',
    replace: 'return stop !== undefined && message >= stop.message;',
    by: 'return stop !== undefined && message === stop.message;',
    tests: [
      {
        file: 'integration/load-groups.test.ts',
        name: 'block: a rejected message and all later ones of its group are held, no other is',
      },
    ],
  },
  {
    row: 'FIFO queue',
    name: 'what the table refuses holds nobody',
    file: 'src/load/postgres.ts',
    replace: 'if (this.#blocks && this.#stops.add(',
    by: 'if (!this.#blocks && this.#stops.add(',
    tests: [
      {
        file: 'integration/load-groups.test.ts',
        name: 'block: what the table refuses holds its group as well, be it one row or many',
      },
    ],
  },
  {
    row: 'FIFO queue',
    name: 'a message that was settled before holds its group',
    file: 'src/load/groups.ts',
    replace: 'if (!known.has(index)) stops',
    by: 'if (known.size >= 0) stops',
    tests: [
      {
        file: 'integration/load-groups.test.ts',
        name: 'block: a rejected message that was settled before holds nobody',
      },
    ],
  },
  {
    row: 'FIFO queue',
    name: 'rows that were taken one by one stay in that order',
    file: 'src/load/postgres.ts',
    replace: 'if (groups !== undefined && isolated.refused.size > 0) {',
    by: 'if (this.#blocks && groups !== undefined && isolated.refused.size > 0) {',
    tests: [
      {
        file: 'integration/load-groups.test.ts',
        name: 'skip: rows of a group go in in its order, also when the table refuses many, and times and ids go against it',
      },
    ],
  },
  {
    row: 'FIFO queue',
    name: 'the time of sending goes before the order of a group',
    file: 'src/load/groups.ts',
    replace: 'Math.max(sentAt, latest.get(group) ?? sentAt)',
    by: 'Math.min(sentAt, latest.get(group) ?? sentAt)',
    tests: [
      {
        file: 'integration/load-groups.test.ts',
        name: 'an upsert keeps the last of a group by its order, whatever the times of sending say',
      },
    ],
  },
  {
    row: 'FIFO queue',
    name: 'a run that holds a group back succeeds',
    file: 'src/run.ts',
    replace: 'this.options.holdingFails === true) this.#groupsBlocked = true;',
    by: 'this.options.holdingFails === true) this.#groupsBlocked = false;',
    tests: [
      {
        file: 'unit/run.test.ts',
        name: 'one that holds back a group fails under `fifo: block`, and not under `on_reject: dlq`',
      },
    ],
  },
  {
    row: 'key unknown',
    name: 'a worker that can read nothing goes on failing batches',
    file: 'src/queue/bullmq.ts',
    replace: 'options.onUnreadable?.(error);',
    by: '',
    tests: [
      {
        file: 'integration/faults-keys.test.ts',
        name: 'a worker with another keyring stops, names both, and nothing is masked, quarantined or acked',
      },
    ],
  },
];
