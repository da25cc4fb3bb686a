// maskline's own processes, as users start them, each started anew at once when it ends.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Unfinished, readJournal } from './journal.js';

/** The roles of processes that are killed. */
export type FleetRole = 'ingest' | 'transform' | 'load';

/** One life of a process. */
export interface Life {
  readonly role: FleetRole;
  /** Which of the processes of that role. */
  readonly slot: number;
  readonly pid: number;
  readonly journal: string;
  /** The failpoints that it was started with. */
  readonly armed: string;
  endedAt: number | null;
  /** `killed` by us, `crashed` at a failpoint, `stopped` as it was told to, or `died`: of its own accord. */
  end: 'killed' | 'crashed' | 'stopped' | 'died' | null;
  exitCode: number | null;
  unfinished: Unfinished | null;
}

/** What a fleet is made of. */
export interface FleetOptions {
  /** Processes of each role. */
  readonly sizes: Readonly<{ [role in FleetRole]: number }>;
  readonly configFile: string;
  /** Arguments before the role, such as `-p`. */
  readonly args?: readonly string[];
  readonly env: Readonly<{ [name: string]: string }>;
  /** Where logs and journals go. */
  readonly dir: string;
  /**
   * Failpoints of the next life in that slot, in the syntax of MASKLINE_FAILPOINTS; empty: none. Null: no failpoints,
   * and so no journal, in any of them.
   */
  readonly arm: ((role: FleetRole, slot: number) => string) | null;
  /** More of the environment, for one slot. */
  readonly envOf?: (role: FleetRole, slot: number) => Readonly<{ [name: string]: string }>;
  /** Hears of each end. */
  readonly onEnd: (life: Life) => void;
}

const CLI = fileURLToPath(new URL('../cli/main.js', import.meta.url));
/** What a role may take to stop, and a little more. */
const STOP_LIMIT_MS = 30_000;
/** A process that dies as soon as it is started is not started without end. */
const RESTART_MS = 250;

interface Slot {
  readonly role: FleetRole;
  readonly number: number;
  child: ChildProcess | null;
  life: Life | null;
  lives: number;
  isReady: boolean;
  isKilled: boolean;
}

/** The processes under test. */
export class Fleet {
  readonly lives: Life[] = [];
  readonly #options: FleetOptions;
  readonly #slots: readonly Slot[];
  #isStopping = false;
  /** Armed failpoints are for the storm, not for what comes after it. */
  #isArmed = true;

  constructor(options: FleetOptions) {
    this.#options = options;
    const roles: readonly FleetRole[] = ['ingest', 'transform', 'load'];
    this.#slots = roles.flatMap((role) =>
      Array.from({ length: options.sizes[role] }, (_, number): Slot => ({
        role,
        number,
        child: null,
        life: null,
        lives: 0,
        isReady: false,
        isKilled: false,
      })),
    );
  }

  /** Starts all, and waits until each has said that it is ready. */
  async start(): Promise<void> {
    await Promise.all(
      this.#slots.map(async (slot) => {
        const child = this.#launch(slot);
        await Promise.race([once(child, 'message'), once(child, 'exit')]);
      }),
    );
  }

  disarm(): void {
    this.#isArmed = false;
  }

  /** Whether the process of a slot has come up, and works. */
  isReady(role: FleetRole, number: number): boolean {
    return this.#slot(role, number).isReady;
  }

  /** What the process of a slot is at right now. */
  unfinished(role: FleetRole, number: number): Unfinished {
    return readJournal(this.#slot(role, number).life?.journal ?? '');
  }

  /** SIGKILL; the next life begins at once. False when there is no process in the slot just now. */
  kill(role: FleetRole, number: number): boolean {
    const slot = this.#slot(role, number);
    if (!isAlive(slot.child)) return false;
    slot.isKilled = true;
    return slot.child.kill('SIGKILL');
  }

  /** SIGSTOP until the returned function is called, or the process is killed. Null when there is none. */
  freeze(role: FleetRole, number: number): (() => void) | null {
    const { child } = this.#slot(role, number);
    if (!isAlive(child) || !child.kill('SIGSTOP')) return null;
    return () => void (isAlive(child) && child.kill('SIGCONT'));
  }

  /** Tells all to stop, and waits; who doesn't within the limit is killed. Returns how many that were. */
  async stop(): Promise<number> {
    this.#isStopping = true;
    let overdue = 0;
    await Promise.all(
      this.#slots.map(async ({ child }) => {
        if (!isAlive(child)) return;
        const ended = once(child, 'exit');
        child.kill('SIGCONT');
        child.kill('SIGTERM');
        const timer = setTimeout(() => {
          overdue += 1;
          child.kill('SIGKILL');
        }, STOP_LIMIT_MS);
        await ended;
        clearTimeout(timer);
      }),
    );
    return overdue;
  }

  /** Kills all that is left, at the latest when this process ends. */
  readonly abandon = (): void => {
    this.#isStopping = true;
    for (const { child } of this.#slots) child?.kill('SIGKILL');
  };

  #slot(role: FleetRole, number: number): Slot {
    const slot = this.#slots.find((one) => one.role === role && one.number === number);
    if (slot === undefined) throw new RangeError(`there is no ${role} ${number}`);
    return slot;
  }

  #launch(slot: Slot): ChildProcess {
    const { dir, configFile, args = [], env, envOf, arm } = this.#options;
    const { role, number } = slot;
    slot.lives += 1;
    const name = `${role}-${number}`;
    const journal = join(dir, `${name}-${slot.lives}.journal`);
    const armed = this.#isArmed ? (arm?.(role, number) ?? '') : '';
    const failpoints = {
      MASKLINE_ALLOW_FAILPOINTS: '1',
      MASKLINE_FAILPOINTS: `${armed};journal=${journal}`,
    };
    const log = openSync(join(dir, `${name}.log`), 'a', 0o600);
    const child = spawn(process.execPath, [CLI, '-c', configFile, ...args, 'run', role], {
      env: { ...env, ...envOf?.(role, number), ...(arm && failpoints) },
      stdio: ['ignore', log, log, 'ipc'],
    });
    closeSync(log);
    const life: Life = {
      role,
      slot: number,
      pid: child.pid ?? 0,
      journal,
      armed,
      endedAt: null,
      end: null,
      exitCode: null,
      unfinished: null,
    };
    slot.child = child;
    slot.life = life;
    slot.isReady = false;
    slot.isKilled = false;
    child.once('message', () => {
      slot.isReady = true;
    });
    this.lives.push(life);
    child.once('exit', (code, signal) => this.#ended(slot, life, code, signal));
    return child;
  }

  #ended(slot: Slot, life: Life, code: number | null, signal: NodeJS.Signals | null): void {
    slot.isReady = false;
    life.endedAt = Date.now();
    life.exitCode = code;
    life.unfinished = readJournal(life.journal);
    life.end = this.#endOf(slot, life, code, signal);
    this.#options.onEnd(life);
    if (this.#isStopping) return;
    if (life.end === 'died') setTimeout(() => this.#isStopping || this.#launch(slot), RESTART_MS);
    else this.#launch(slot);
  }

  #endOf(slot: Slot, { armed }: Life, code: number | null, signal: NodeJS.Signals | null): Life['end'] {
    if (signal === 'SIGKILL' && slot.isKilled) return 'killed';
    if (signal === 'SIGKILL' && armed.includes('crash') && !this.#isStopping) return 'crashed';
    return this.#isStopping && code === 0 ? 'stopped' : 'died';
  }
}

function isAlive(child: ChildProcess | null): child is ChildProcess {
  return child !== null && child.exitCode === null && child.signalCode === null;
}
