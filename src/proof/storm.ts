// One run: messages in portions, faults until so many kills were done, then quiet, and a verdict.

import { setTimeout as delay } from 'node:timers/promises';
import { PipelineError, asPipelineError } from '../errors.js';
import type { Arena } from './arena.js';
import { Dice } from './dice.js';
import { Fleet, type FleetRole } from './fleet.js';
import { marksOf } from './messages.js';
import { Nemesis } from './nemesis.js';
import type { Findings } from './oracle.js';
import { type Profile, type Theatre, armLife, drawFault } from './plan.js';
import { type Recovery, recoveryOf } from './recovery.js';

/** What a run is to be. */
export interface StormOptions {
  readonly messages: number;
  /** Of processes and servers, crashes at failpoints included. Under `committed`: crashes between COMMIT and ack. */
  readonly kills: number;
  readonly seed: number;
  readonly profile: Profile;
  readonly pipeline: string;
  readonly signal: AbortSignal;
  /** Hears of each step. */
  readonly tell: (line: string) => void;
}

/** What happened. */
export interface StormResult {
  readonly kills: number;
  readonly fleet: Pick<Fleet, 'lives'>;
  readonly nemesis: Pick<Nemesis, 'counts'>;
  readonly findings: Findings;
  readonly recovery: Recovery;
  /** Processes that ended of their own accord, or did not stop in time. */
  readonly problems: readonly string[];
  readonly sent: number;
}

/** Enough to be killed one by one while others work. */
const FLEET_SIZES = { ingest: 2, transform: 3, load: 2 } as const;

/** Between one fault and the next. */
const PAUSE_MS = { from: 100, to: 1_000 };
/** Messages are sent as kills are done, a few portions ahead, so that there is always something to be hit. */
const PORTIONS_AHEAD = 3;
/** A run of fewer kills than this is a short one, and so are its freezes and outages. */
const SHORT_KILLS = 20;
/** How long it may take until all is settled: a message that is let go may stay away for 15 min, and each takes a share. */
const SETTLE_BASE_MS = 20 * 60_000;
const SETTLE_PER_MESSAGE_MS = 5;
const LOOK_MS = 250;
/** The queue must look empty so often in a row: its numbers are approximate. */
const LOOKS = 3;
const TELL_EVERY_KILLS = 10;
const TELL_EVERY_MS = 30_000;

/** Carries out a run. Throws `canceled` when `signal` aborts, and `unexpected` when it does not come to rest. */
export async function runStorm(arena: Arena, options: StormOptions): Promise<StormResult> {
  const storm = new Storm(arena, options);
  return storm.run();
}

class Storm {
  readonly #arena: Arena;
  readonly #options: StormOptions;
  readonly #dice: Dice;
  readonly #fleet: Fleet;
  readonly #nemesis: Nemesis;
  readonly #arming: ReadonlyMap<string, Dice>;
  readonly #ids: string[] = [];
  readonly #startedAt = Date.now();
  #processKills = 0;
  #told = 0;
  #sending: Promise<void> = Promise.resolve();
  #failure: PipelineError | null = null;

  constructor(arena: Arena, options: StormOptions) {
    this.#arena = arena;
    this.#options = options;
    this.#dice = new Dice(options.seed);
    const slots = (['ingest', 'transform', 'load'] as const).flatMap((role) =>
      Array.from({ length: FLEET_SIZES[role] }, (_, slot) => `${role} ${slot}`),
    );
    this.#arming = new Map(slots.map((slot) => [slot, this.#dice.of(slot)]));
    this.#fleet = new Fleet({
      ...arena.fleet,
      sizes: FLEET_SIZES,
      arm: (role, slot) => this.#arm(role, slot),
      onEnd: ({ end, unfinished }) => {
        const counts = options.profile === 'committed' ? unfinished?.lastPoint === 'load.committed' : true;
        if ((end === 'killed' || end === 'crashed') && counts) this.#processKills += 1;
      },
    });
    const redeliver = (messages: number): Promise<number> => this.#redeliver(messages);
    this.#nemesis = new Nemesis(this.#fleet, arena.stack, this.#dice.of('nemesis'), redeliver);
  }

  get #kills(): number {
    return this.#processKills + this.#nemesis.serverKills;
  }

  async run(): Promise<StormResult> {
    const { tell, messages, pipeline } = this.#options;
    process.once('exit', this.#fleet.abandon);
    try {
      await this.#fleet.start();
      tell('all processes are ready');
      await this.#rage();
      await this.#nemesis.heal();
      await this.#sendUpTo(messages);
      tell(`${this.#kills} kills are done; waiting until all ${messages} messages are settled`);
      await this.#settled();
      const overdue = await this.#fleet.stop();
      tell('all is settled and all processes have stopped; looking for what is missing, double or leaked');
      const { lives } = this.#fleet;
      const killed = lives.filter(({ end }) => end !== 'stopped');
      const findings = await this.#arena.judge(
        { seed: this.#options.seed, marks: marksOf(this.#options.seed), ids: this.#ids },
        { killedPids: new Set(killed.map(({ pid }) => pid)), startedAt: this.#startedAt },
      );
      const recovery = await recoveryOf(this.#arena.pool, pipeline, lives, this.#nemesis.outages);
      return {
        kills: this.#kills,
        fleet: this.#fleet,
        nemesis: this.#nemesis,
        findings,
        recovery,
        problems: [...(await this.#leftovers()), ...this.#misbehaviour(overdue)],
        sent: this.#ids.length,
      };
    } finally {
      this.#fleet.abandon();
      process.off('exit', this.#fleet.abandon);
    }
  }

  /** Faults and messages, until so many kills were done. */
  async #rage(): Promise<void> {
    const { kills, messages, profile } = this.#options;
    const theatre: Theatre = {
      sizes: FLEET_SIZES,
      dependencies: this.#dependencies(),
      isShort: kills < SHORT_KILLS,
    };
    while (this.#kills < kills) {
      this.#check();
      const share = Math.min(1, (this.#kills + PORTIONS_AHEAD) / kills);
      this.#sendInBackground(Math.ceil(messages * share));
      if (profile === 'storm') await this.#nemesis.strike(drawFault(this.#dice, theatre));
      await delay(this.#dice.between(PAUSE_MS.from, PAUSE_MS.to));
      this.#progress();
    }
    this.#fleet.disarm();
    await this.#sending;
  }

  #dependencies(): Theatre['dependencies'] {
    const { stack } = this.#arena;
    if (stack === null) return [];
    return stack.redis ? ['postgres', 'redis', 'sqs'] : ['postgres', 'sqs'];
  }

  #arm(role: FleetRole, slot: number): string {
    const dice = this.#arming.get(`${role} ${slot}`);
    return dice ? armLife(dice, role, this.#options.profile) : '';
  }

  #sendInBackground(count: number): void {
    this.#sending = this.#sending
      .then(() => this.#sendUpTo(count))
      .catch((error: unknown) => {
        this.#failure ??= asPipelineError(error);
      });
  }

  async #sendUpTo(count: number): Promise<void> {
    const from = this.#ids.length;
    if (count > from) this.#ids.push(...(await this.#arena.send(from, count - from)));
  }

  async #redeliver(messages: number): Promise<number> {
    if (this.#ids.length === 0) return 0;
    const ids = Array.from({ length: messages }, () => this.#dice.pick(this.#ids));
    return (await this.#arena.redeliver([...new Set(ids)])).length;
  }

  /** Until SQS has nothing left, and then until the queues between the stages have not. */
  async #settled(): Promise<void> {
    const giveUpAt = Date.now() + SETTLE_BASE_MS + this.#ids.length * SETTLE_PER_MESSAGE_MS;
    let tellAt = Date.now() + TELL_EVERY_MS;
    for (let quiet = 0; quiet < LOOKS;) {
      this.#check();
      if (Date.now() > giveUpAt) {
        const { queue } = await this.#arena.left();
        throw new PipelineError('unexpected', `it did not come to rest: SQS still has ${queue} messages`);
      }
      await delay(LOOK_MS);
      const { queue } = await this.#arena.left();
      const batches = await this.#arena.batches();
      quiet = queue === 0 && batches === 0 ? quiet + 1 : 0;
      if (Date.now() < tellAt) continue;
      tellAt = Date.now() + TELL_EVERY_MS;
      this.#options.tell(`SQS still has ${queue} messages, and there are ${batches} batches on their way`);
    }
  }

  async #leftovers(): Promise<readonly string[]> {
    const { queue, deadLetters } = await this.#arena.left();
    return [
      ...(queue > 0 ? [`SQS still has ${queue} messages`] : []),
      ...((deadLetters ?? 0) > 0 ? [`the dead-letter queue has ${deadLetters} messages`] : []),
    ];
  }

  #misbehaviour(overdue: number): readonly string[] {
    const died = this.#fleet.lives.filter(({ end }) => end === 'died');
    const inOrder = died.filter(
      ({ role }, index) => died.findIndex((other) => other.role === role) === index,
    );
    return [
      ...inOrder.map(({ role, exitCode }) => {
        const count = died.filter((other) => other.role === role).length;
        return `${count} ${role} processes ended of their own accord, the first with ${exitCode ?? 'a signal'}`;
      }),
      ...(overdue > 0 ? [`${overdue} processes did not stop in time`] : []),
    ];
  }

  #check(): void {
    if (this.#options.signal.aborted) throw new PipelineError('canceled', 'the run was told to stop');
    if (this.#failure !== null) throw this.#failure;
  }

  #progress(): void {
    const { kills, tell } = this.#options;
    if (this.#kills < this.#told + TELL_EVERY_KILLS) return;
    this.#told = this.#kills;
    tell(`${this.#kills} of ${kills} kills, ${this.#ids.length} messages sent`);
  }
}
