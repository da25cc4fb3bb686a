import type { Batch, MaskedBatch } from '../../src/batch.js';
import { PipelineError } from '../../src/errors.js';
import { MemoryQueue } from '../../src/queue/memory.js';
import type { BatchQueue } from '../../src/queue/queue.js';
import { BAD, fakeMasker, maskedText } from './fake-masker.js';
import { partsOfBody } from './fake-pointers.js';
import { FakeSqs } from './fake-sqs.js';
import type { Fault, Faults } from './faults.js';
import { Host } from './host.js';
import { type HostileSqsOptions, makeHostile, sqsAt } from './hostile-sqs.js';
import { Oracle } from './oracle.js';
import { Outage } from './outage.js';
import type { Benign, Planted } from './planted.js';
import type { Scheduler } from './scheduler.js';
import { SimIngester } from './sim-ingester.js';
import { SimPostgres, emptyTables, ledgerKeyOf } from './sim-postgres.js';
import { SimQueue } from './sim-queue.js';
import { type WorkerParts, startLoad, startTransform } from './sim-worker.js';
import { type FifoSize, LONG_RESIDENCE_MS, type Setup, drawFifo, drawSetup } from './setup.js';

/** Dead processes come back after so long. */
const RESTART_MS = { from: 500, to: 20_000 };
const OUTAGE_MS = { from: 1_000, to: 60_000 };
const RESTART_OUTAGE_MS = 3_000;
const JUMP_MS = 3_600_000;
/** The clocks of two machines differ by this, at most. */
const SKEW_MS = 24 * 3_600_000;

interface Process {
  readonly kind: 'ingester' | 'worker';
  readonly host: Host;
  readonly stop: () => Promise<void>;
}

/** The share of its deadline that a process has to finish what it holds; some are in a hurry. */
const SOFT_STOPS_MS = [0, 300, 18_000];

/** Everything of one schedule: the services, the processes, and what befalls them. */
export class World {
  readonly oracle: Oracle;
  readonly #scheduler: Scheduler;
  readonly #faults: Faults;
  readonly #planted: Planted | Benign | null;
  readonly #setup: Setup;
  readonly #tables = emptyTables();
  readonly #sqs: FakeSqs;
  readonly #hostile: HostileSqsOptions;
  readonly #outages: { readonly sqs: Outage; readonly redis: Outage; readonly postgres: Outage };
  readonly #transformQueue: SimQueue<Batch>;
  readonly #loadQueue: SimQueue<MaskedBatch>;
  readonly #postgres: SimPostgres;
  readonly #processes = new Set<Process>();
  readonly #ingesters = new Set<SimIngester>();
  readonly #keys = new Map<string, readonly string[]>();
  #unsent = 0;
  #incarnations = 0;
  #isStopping = false;
  #isMended = false;
  #wentBack = false;

  constructor(scheduler: Scheduler, faults: Faults, planted: Planted | Benign | null, size: FifoSize | null) {
    this.#scheduler = scheduler;
    this.#faults = faults;
    this.#planted = planted;
    this.#setup = size === null ? drawSetup(scheduler.dice) : drawFifo(scheduler.dice, size);
    const { maxReceiveCount, ingester, attempts } = this.#setup;
    this.oracle = new Oracle(scheduler, this.#tables, ingester.visibilityTimeoutS * 1_000);
    this.#outages = {
      sqs: new Outage(scheduler, () => new PipelineError('sqs_unavailable', 'SQS throttles')),
      redis: new Outage(scheduler, () => new PipelineError('redis_unavailable', 'Redis is away')),
      postgres: new Outage(scheduler, () => new PipelineError('postgres_unavailable', 'Postgres is away')),
    };
    this.#sqs = new FakeSqs({
      clock: scheduler,
      fifo: this.#setup.fifo !== null,
      ...(maxReceiveCount === null ? {} : { maxReceiveCount }),
    });
    this.#hostile = { sqs: this.#sqs, faults, oracle: this.oracle, outage: this.#outages.sqs, planted };
    makeHostile(this.#hostile);
    const mayStick = ingester.residenceMs < LONG_RESIDENCE_MS;
    const queue = { scheduler, faults, outage: this.#outages.redis, attempts, mayStick, planted };
    this.#transformQueue = new SimQueue({ ...queue, name: 'transform' });
    this.#loadQueue = new SimQueue({ ...queue, name: 'load' });
    this.#postgres = new SimPostgres({
      scheduler,
      faults,
      outage: this.#outages.postgres,
      tables: this.#tables,
      oracle: this.oracle,
      planted,
      isMended: () => this.#isMended,
      fifo: this.#setup.fifo?.mode ?? 'skip',
      keysOf: (batchId) => this.#keys.get(batchId) ?? [],
    });
  }

  /** Messages arrive, processes start, and things begin to go wrong. */
  start(): void {
    for (const message of this.#setup.messages) {
      this.#unsent += 1;
      void this.#scheduler.sleep(message.afterMs).then(() => this.#send(message));
    }
    const { ingesters, transformers, loaders, topology } = this.#setup;
    for (let i = 0; i < ingesters; i += 1) this.#keepUp(topology === 'memory' ? 'all' : 'ingest');
    if (topology === 'bullmq') {
      for (let i = 0; i < transformers; i += 1) this.#keepUp('transform');
      for (let i = 0; i < loaders; i += 1) this.#keepUp('load');
    }
    this.#faults.onCall(() => this.#strike());
    void this.#befall();
  }

  /** No more faults: from here on everything must come to a good end by itself. */
  becomeKind(): void {
    this.#faults.end();
    this.#isMended = this.#setup.fifo?.mode === 'block';
    for (const outage of Object.values(this.#outages)) outage.end();
    this.#scheduler.note('kind');
  }

  /** True when SQS holds nothing more, and nobody waits for a batch. */
  get isDrained(): boolean {
    if (this.#unsent > 0 || !this.#sqs.isEmpty) return false;
    return [...this.#ingesters].every((ingester) => ingester.isIdle);
  }

  /** How much of what is ever sent SQS has got rid of. */
  get share(): number {
    return this.#sqs.deleted.length / this.#setup.messages.length;
  }

  /** Asks the ingesters to stop, softly. */
  stop(): { readonly isOver: boolean } {
    this.#isStopping = true;
    const stopping = [...this.#processes].filter(({ kind, host }) => kind === 'ingester' && host.alive);
    for (const process of stopping) void process.stop();
    return {
      get isOver(): boolean {
        return stopping.every(({ host }) => !host.alive);
      },
    };
  }

  /** The last look. */
  end(): void {
    this.oracle.ended(this.#sqs.left, this.#sqs.deadLetters);
    for (const { host } of this.#processes) host.kill();
  }

  /** What came about. */
  get coverage(): { readonly [what: string]: number } {
    const loads = [...this.#tables.loads.values()];
    const sum = (outcome: 'duplicates' | 'quarantined' | 'loaded'): number =>
      loads.reduce((total, load) => total + load[outcome], 0);
    return {
      messages: this.#setup.messages.length,
      deliveries: this.#sqs.handedOut.length,
      batches_committed: loads.filter((load) => load.state === 'committed').length,
      batches_released: loads.filter((load) => load.state === 'released').length,
      batches_with_held: loads.filter((load) => load.held.length > 0).length,
      loaded: sum('loaded'),
      duplicates: sum('duplicates'),
      quarantined: sum('quarantined'),
      dead_letters: this.#sqs.deadLetters.length,
      groups_blocked: this.#postgres.blocked,
      group_followed: this.oracle.followed,
      runs_completed: this.oracle.runs,
      processes: this.#incarnations,
      ...this.oracle.moments,
      ...this.#postgres.moments,
    };
  }

  #send({ body, expected, groupId }: Setup['messages'][number]): void {
    const [id = ''] = this.#sqs.send({ body, ...(groupId === null ? {} : { groupId }) });
    this.#unsent -= 1;
    const pieces = partsOfBody(id, body);
    const records = (pieces?.flat() ?? [{ id, body }]).map((record, index) => {
      const place = expected[index] ?? 'target';
      const isRaw = record.body.startsWith(BAD) && place !== 'target';
      return { id: record.id, expected: place, content: isRaw ? record.body : maskedText(record.body) };
    });
    this.oracle.sent({ id, records, groupId });
  }

  /** Starts a process, and another one whenever it dies. */
  #keepUp(role: 'ingest' | 'transform' | 'load' | 'all'): void {
    this.#incarnations += 1;
    const { dice } = this.#scheduler;
    const skewMs = Math.round(dice.between(-SKEW_MS, SKEW_MS));
    const host = new Host(`${role}-${this.#incarnations}`, this.#scheduler, this.#faults, skewMs);
    const process = this.#startRole(role, host);
    this.#processes.add(process);
    host.death.addEventListener('abort', () => {
      this.#processes.delete(process);
      if (this.#isStopping) return;
      void this.#scheduler.sleep(dice.between(RESTART_MS.from, RESTART_MS.to)).then(() => {
        if (!this.#isStopping) this.#keepUp(role);
      });
    });
  }

  #startRole(role: 'ingest' | 'transform' | 'load' | 'all', host: Host): Process {
    const { held, concurrency, attempts } = this.#setup;
    const queues = {
      transformQueue: role === 'all' ? memoryQueue<Batch>(host, attempts) : this.#transformQueue.at(host),
      loadQueue: role === 'all' ? memoryQueue<MaskedBatch>(host, attempts) : this.#loadQueue.at(host),
    };
    const sink = this.#postgres.at(host);
    const isMended = (): boolean => this.#isMended;
    const masker = fakeMasker(host.clock, this.#faults, { held, isMended });
    const parts: WorkerParts = { ...queues, sink, masker };
    const workers = [
      ...(role === 'transform' || role === 'all' ? [startTransform(host, parts, concurrency)] : []),
      ...(role === 'load' || role === 'all' ? [startLoad(host, parts, concurrency)] : []),
    ];
    if (role === 'ingest' || role === 'all') {
      const ingester = this.#startIngester(host, parts);
      return { kind: 'ingester', host, stop: () => ingester.stop(this.#scheduler.dice.pick(SOFT_STOPS_MS)) };
    }
    const stop = async (): Promise<void> => {
      const mode = this.#scheduler.dice.chance(0.5) ? 'soft' : 'hard';
      await Promise.all(workers.map((worker) => worker.stop(mode)));
      host.kill();
    };
    return { kind: 'worker', host, stop };
  }

  #startIngester(host: Host, { transformQueue, loadQueue, sink }: WorkerParts): SimIngester {
    const ingester = new SimIngester({
      host,
      client: sqsAt(host, this.#hostile),
      transformQueue,
      loadQueue,
      sink,
      oracle: this.oracle,
      settings: this.#setup.ingester,
      holdingFails: this.#setup.fifo?.mode === 'block',
      planted: this.#planted,
      onBatch: (batch) => this.#keys.set(batch.batchId, keysOf(batch)),
    });
    this.#ingesters.add(ingester);
    host.death.addEventListener('abort', () => this.#ingesters.delete(ingester));
    return ingester;
  }

  /** One disaster after the other. */
  async #befall(): Promise<void> {
    const { dice } = this.#scheduler;
    while (this.#faults.on) {
      await this.#scheduler.sleep(dice.between(0, this.#setup.calmMs * 2));
      this.#strike();
      if (dice.chance(0.2)) for (const queue of [this.#transformQueue, this.#loadQueue]) queue.save();
    }
  }

  #strike(): void {
    const [fault, strike] = this.#scheduler.dice.pick(this.#disasters());
    if (this.#faults.has(fault) && strike()) this.#faults.bit(fault, '');
  }

  /** Each says whether there was anything to strike. */
  #disasters(): readonly (readonly [Fault, () => boolean])[] {
    const { dice } = this.#scheduler;
    const { sqs, redis, postgres } = this.#outages;
    const queues = [this.#transformQueue, this.#loadQueue];
    const began = (outage: Outage): boolean => {
      outage.begin(dice.between(OUTAGE_MS.from, OUTAGE_MS.to));
      return true;
    };
    const strike = (kind: Process['kind'], blow: (process: Process) => void): boolean => {
      const targets = [...this.#processes].filter((process) => process.kind === kind && process.host.running);
      if (targets.length > 0) blow(dice.pick(targets));
      return targets.length > 0;
    };
    const onBoth = (what: (queue: (typeof queues)[number]) => boolean): boolean =>
      queues.map(what).includes(true);
    return [
      ['sqs_outage', () => began(sqs)],
      ['redis_outage', () => began(redis)],
      ['postgres_outage', () => began(postgres)],
      ['redis_wipe', () => onBoth((queue) => !queue.isIdle && (queue.wipe(), true))],
      ['redis_rewind', () => onBoth((queue) => queue.rewind())],
      [
        'postgres_restart',
        () => {
          this.#postgres.restart();
          postgres.begin(dice.between(0, RESTART_OUTAGE_MS));
          return true;
        },
      ],
      ['kill_ingester', () => strike('ingester', ({ host }) => host.kill())],
      ['kill_worker', () => strike('worker', ({ host }) => host.kill())],
      ['freeze_ingester', () => strike('ingester', ({ host }) => host.freeze())],
      ['freeze_worker', () => strike('worker', ({ host }) => host.freeze())],
      ['stop_ingester', () => strike('ingester', ({ stop }) => void stop())],
      ['stop_worker', () => strike('worker', ({ stop }) => void stop())],
      [
        'clock_jump',
        () =>
          strike(dice.pick(['ingester', 'worker']), ({ host }) => {
            // Back only once: for as long as it goes back, whoever reckons by the wall clock may wait.
            const isBack = !this.#wentBack && dice.chance(0.5);
            this.#wentBack ||= isBack;
            host.jump(isBack ? -JUMP_MS : JUMP_MS);
          }),
      ],
    ];
  }
}

function memoryQueue<T extends Batch | MaskedBatch>(host: Host, attempts: Setup['attempts']): BatchQueue<T> {
  return new MemoryQueue<T>({ clock: host.clock, attempts });
}

function keysOf(batch: Batch): readonly string[] {
  return batch.records.map(({ id, message }) => ledgerKeyOf(id, batch.messages[message]?.sentAt ?? 0));
}
