import { setMaxListeners } from 'node:events';
import type { Delivery, Receipt } from '../batch.js';
import type { Clock } from '../clock.js';
import type { Service, StopMode } from '../lifecycle.js';
import { Branch, type BranchLimits } from './branch.js';
import type { RouteTable } from './route.js';
import { type DueMessage, SharedMessages } from './shared-messages.js';
import { partsOf } from './shared-parts.js';
import { type Joined, SharedPump } from './shared-pump.js';
import type { ReceiveMode } from './source.js';
import type { OnSourceEvent } from './source-events.js';
import type { SqsSource } from './sqs-source.js';

/** A pipeline that receives, but settles nothing for so long, is waited for no more: the others have their messages too. */
const PATIENCE_MS = 10_000;
/** What finds no room goes back for so long, four times as long with each receive: few of the receives its queue allows. */
const AWAY_BASE_MS = 15 * 60_000;
const AWAY_MAX_MS = 11 * 3_600_000;
/** What is left of a pipeline that has broken down; by then whatever still works on it has ended, or is a duplicate. */
const LEFT_MS = 30_000;

/** What is shared, and among whom. */
export interface SharedOptions {
  readonly table: RouteTable;
  readonly clock: Clock;
  /** Opens another source after a hard stop; each receive of it waits for `admit` of this one. */
  readonly open: () => Promise<SqsSource>;
  readonly limits: (pipeline: string) => BranchLimits;
  /** Hears of messages received and deleted, pipeline by pipeline: one that several have a share in counts for each. */
  readonly onEvent: (pipeline: string, ...event: Parameters<OnSourceEvent>) => void;
}

/**
 * One queue for several pipelines. It is received from once, and each pipeline sees a source that brings the records that
 * are its own; a message is deleted when all of its records are settled, in whichever pipelines. What comes for one that
 * does not receive waits for it as long as there is room, and then goes back to the queue for a long while.
 */
export class SharedSource implements Service {
  readonly #options: SharedOptions;
  readonly #branches: ReadonlyMap<string, Branch>;
  readonly #messages = new SharedMessages();
  readonly #receiving = new Map<Branch, number>();
  readonly #stoppedHard = new Set<Branch>();
  readonly #underWay = new Set<Promise<void>>();
  #source: SqsSource;
  #isDead = false;
  #opening: Promise<SqsSource> | null = null;
  #pump: SharedPump | null = null;

  constructor(options: SharedOptions, source: SqsSource) {
    this.#options = options;
    this.#source = source;
    this.#branches = new Map(
      options.table.pipelines.map((name) => [name, new Branch(name, options.limits(name))]),
    );
  }

  /** What the pipeline receives; after a hard stop of it another may be opened, which finds what waits. */
  async openBranch(pipeline: string, admit: (signal: AbortSignal) => Promise<void>): Promise<SqsSource> {
    const branch = this.#branches.get(pipeline);
    if (branch === undefined) throw new TypeError(`pipeline ${pipeline} has no part in this queue`);
    await this.#revive();
    this.#stoppedHard.delete(branch);
    const taker = {};
    const given = new AbortController();
    // Each call listens; Node takes more than ten for a leak.
    setMaxListeners(0, given.signal);
    return {
      receive: (mode, signal, halt = signal) =>
        this.#receive({ branch, taker }, mode, { signal, halt, admit }),
      ack: (receipts) => unlessAborted(this.#settle(branch, receipts, null), given.signal),
      release: (receipts, delayMs) => unlessAborted(this.#settle(branch, receipts, delayMs), given.signal),
      depth: () => this.#source.depth(),
      stop: async (mode: StopMode = 'soft') => {
        if (mode === 'soft') return;
        given.abort();
        this.#giveUp(branch, taker);
        await this.#stopHard(branch);
      },
      get holding() {
        return { messages: branch.messages, bytes: branch.bytes };
      },
    };
  }

  /** Resolves when one of the pipelines that receive may, or when `signal` aborts. */
  async admit(signal: AbortSignal): Promise<void> {
    await this.#pump?.admit(signal);
  }

  /** Ends receiving, gives back what nobody has taken, and stops the source. */
  async stop(mode: StopMode = 'soft'): Promise<void> {
    await this.#pump?.stop();
    for (const branch of this.#branches.values()) {
      const left = branch.heldBy(null);
      for (const handle of left) this.#messages.giveBack(handle, 0);
      void this.#track(this.#spend(left.flatMap((handle) => this.#end(branch, handle))));
    }
    await Promise.all([...this.#underWay, this.#source.stop(mode)]);
  }

  async *#receive(
    { branch, taker }: { readonly branch: Branch; readonly taker: object },
    mode: ReceiveMode,
    one: Joined,
  ): AsyncGenerator<readonly Delivery[], void, undefined> {
    const { signal, halt } = one;
    const pump = this.#join(mode);
    const leave = pump.join(one);
    this.#receiving.set(branch, (this.#receiving.get(branch) ?? 0) + 1);
    // Of those further parts are to come, which this run must have too.
    const begun = new Set<string>();
    try {
      while (!halt.aborted) {
        if (!signal.aborted) await one.admit(signal);
        const isEnding = signal.aborted;
        const taken = branch.take(taker, isEnding ? begun : null);
        if (taken === null) {
          if (pump.isOver || (isEnding && begun.size === 0)) break;
          await branch.changed.wait(isEnding ? halt : signal);
          continue;
        }
        for (const { receipt } of taken) {
          if (receipt.more === true) begun.add(receipt.handle);
          else begun.delete(receipt.handle);
        }
        branch.changed.ring();
        yield taken;
      }
      if (pump.failure !== null) throw pump.failure.error;
    } finally {
      this.#receiving.set(branch, (this.#receiving.get(branch) ?? 1) - 1);
      branch.changed.ring();
      leave();
    }
  }

  #join(mode: ReceiveMode): SharedPump {
    if (this.#pump !== null && !this.#pump.isCut && !this.#pump.isOver) return this.#pump;
    const bringer = {};
    const pump = new SharedPump(this.#source, mode, (deliveries, cut) =>
      this.#handOn(bringer, deliveries, cut),
    );
    this.#pump = pump;
    void pump.ended.then(() => {
      // Nothing more comes of what it has read in parts.
      void this.#track(this.#spend(this.#messages.breakOff(bringer)));
      for (const branch of this.#branches.values()) branch.changed.ring();
    });
    return pump;
  }

  /** Hands what one receive returned to whose it is. */
  async #handOn(pump: object, deliveries: readonly Delivery[], cut: AbortSignal): Promise<void> {
    const own = new Map<Branch, Delivery[]>();
    for (const delivery of deliveries) {
      this.#messages.came(delivery.receipt, pump);
      for (const [branch, part] of partsOf(delivery, this.#options.table, this.#branches.values())) {
        own.set(branch, [...(own.get(branch) ?? []), part]);
      }
    }
    const hadRoom = new Map([...own.keys()].map((branch) => [branch, branch.hasRoom]));
    // All shares are begun before any is offered: the first to be settled must not settle the message.
    for (const [branch, parts] of own) this.#begin(branch, parts);
    const handles = deliveries.map(({ receipt }) => receipt.handle);
    for (const [branch, parts] of own) if (hadRoom.get(branch)) branch.offer(parts);
    await Promise.all(
      [...own].map(async ([branch, parts]) => {
        if (hadRoom.get(branch)) return;
        if (await this.#findsRoom(branch, cut)) branch.offer(parts);
        else this.#sendAway(branch, parts);
      }),
    );
    // What holds no records has no shares.
    void this.#track(this.#spend(handles.flatMap((handle) => this.#messages.due(handle))));
  }

  #begin(branch: Branch, parts: readonly Delivery[]): void {
    const begun = parts.filter((part) => branch.begin(part));
    for (const { receipt } of begun) this.#messages.begin(receipt.handle, branch.pipeline);
    if (begun.length === 0) return;
    this.#options.onEvent(branch.pipeline, {
      kind: 'received',
      messages: begun.length,
      bytes: begun.reduce((sum, { receipt }) => sum + receipt.bytes, 0),
      redelivered: begun.filter(({ receipt }) => receipt.receiveCount > 1).length,
    });
  }

  /** Waits for room, where somebody makes it; what came before `cut` aborted has its place in any case. */
  async #findsRoom(branch: Branch, cut: AbortSignal): Promise<boolean> {
    const isLeft = (): boolean => branch.isClogged || (this.#receiving.get(branch) ?? 0) === 0;
    const over = new AbortController();
    const ended = AbortSignal.any([over.signal, cut]);
    const patience = this.#options.clock.sleep(PATIENCE_MS, ended).then(() => over.abort());
    while (!branch.hasRoom && !isLeft() && !ended.aborted) await branch.changed.wait(ended);
    const isClogged = !branch.hasRoom && over.signal.aborted && !cut.aborted;
    over.abort();
    await patience;
    if (isClogged) branch.isClogged = true;
    return branch.hasRoom || cut.aborted;
  }

  /** Gives back messages of which this pipeline can hold no more: the others settle their shares all the same. */
  #sendAway(branch: Branch, parts: readonly Delivery[]): void {
    const due = parts.flatMap(({ envelope, receipt: { more = false, ...receipt } }) => {
      const { handle, receiveCount } = receipt;
      const awayMs = Math.min(AWAY_MAX_MS, AWAY_BASE_MS * 4 ** (receiveCount - 1));
      this.#messages.giveBack(handle, awayMs);
      if (more) branch.refuse(handle);
      if (branch.isTaken(handle)) {
        // Who has had a part of it waits for the last.
        branch.offer([{ envelope, records: [], receipt: { ...receipt, bytes: 0 } }]);
        return [];
      }
      return this.#end(branch, handle);
    });
    void this.#track(this.#spend(due));
  }

  async #settle(
    branch: Branch,
    receipts: readonly Receipt[],
    delayMs: ((receipt: Receipt) => number) | null,
  ): Promise<void> {
    branch.isClogged = false;
    const due = receipts.flatMap((receipt) => {
      if (delayMs !== null && branch.has(receipt.handle))
        this.#messages.giveBack(receipt.handle, delayMs(receipt));
      return this.#end(branch, receipt.handle);
    });
    await this.#track(this.#spend(due));
  }

  #end(branch: Branch, handle: string): readonly DueMessage[] {
    if (!branch.end(handle)) return [];
    this.#messages.end(handle);
    return this.#messages.due(handle);
  }

  /** What it has taken is settled by nobody any more. */
  #giveUp(branch: Branch, taker: object): void {
    const left = branch.heldBy(taker);
    for (const handle of left) this.#messages.giveBack(handle, LEFT_MS);
    void this.#track(this.#spend(left.flatMap((handle) => this.#end(branch, handle))));
  }

  /** When all have been stopped hard, SQS is waited for no more. */
  async #stopHard(branch: Branch): Promise<void> {
    this.#stoppedHard.add(branch);
    if (this.#stoppedHard.size < this.#branches.size || this.#isDead) return;
    this.#isDead = true;
    await this.stop('hard');
  }

  /** Opens the source anew after that. */
  async #revive(): Promise<void> {
    if (!this.#isDead) return;
    this.#opening ??= this.#options.open();
    this.#source = await this.#opening;
    this.#isDead = false;
    this.#opening = null;
  }

  async #spend(due: readonly DueMessage[]): Promise<void> {
    const acked = due.filter(({ releaseAfterMs }) => releaseAfterMs === null);
    const delays = new Map(due.map(({ receipt, releaseAfterMs }) => [receipt.handle, releaseAfterMs ?? 0]));
    const released = due.flatMap(({ receipt, releaseAfterMs }) => (releaseAfterMs === null ? [] : [receipt]));
    await Promise.all([
      this.#source.release(released, ({ handle }) => delays.get(handle) ?? 0),
      this.#source.ack(acked.map(({ receipt }) => receipt)),
    ]);
    for (const pipeline of this.#branches.keys()) {
      const messages = acked.filter(({ pipelines }) => pipelines.includes(pipeline)).length;
      if (messages > 0) this.#options.onEvent(pipeline, { kind: 'deleted', messages });
    }
  }

  #track(work: Promise<void>): Promise<void> {
    this.#underWay.add(work);
    void work.finally(() => this.#underWay.delete(work));
    return work;
  }
}

/** Until the work is done, or `signal` aborts. */
async function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const end = (): void => {
      signal.removeEventListener('abort', end);
      resolve();
    };
    signal.addEventListener('abort', end);
    void work.then(end);
  });
}
