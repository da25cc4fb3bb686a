// Named points of the flow at which a process can be made to fail. The process loads this only when
// MASKLINE_FAILPOINTS is set.

import { openSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { PipelineError } from '../errors.js';
import { isErrorCode } from '../policy.js';
import { Dice } from './dice.js';
import {
  type Failpoint,
  type FailpointName,
  type FailpointPlan,
  parseFailpoints,
} from './failpoint-syntax.js';

/** What a passage is about: a batch, or so many messages. */
export interface Passage {
  readonly batchId?: string;
  readonly count?: number;
}

interface Armed extends Failpoint {
  readonly dice: Dice;
  passages: number;
}

/** The armed points of this process. */
export class Failpoints {
  readonly #armed: ReadonlyMap<FailpointName, readonly Armed[]>;
  readonly #journal: number | null;

  constructor({ failpoints, seed, journal }: FailpointPlan) {
    const armed = new Map<FailpointName, Armed[]>();
    for (const [index, one] of failpoints.entries()) {
      const dice = new Dice(seed).of(`${index} ${one.point}`);
      armed.set(one.point, [...(armed.get(one.point) ?? []), { ...one, dice, passages: 0 }]);
    }
    this.#armed = armed;
    // Written before the action, and by one call a line: what a killed process was at must be on record.
    this.#journal = journal === null ? null : openSync(journal, 'a', 0o600);
  }

  /** The points with an action, for the log. */
  get points(): readonly string[] {
    return [...this.#armed.keys()];
  }

  /** Passes a point; fails, waits or ends here as was asked for. */
  async pass(point: FailpointName, passage: Passage = {}): Promise<void> {
    for (const { action } of this.#due(point, passage)) {
      if (action.kind === 'delay') await delay(action.ms);
      else act(point, action);
    }
  }

  /** The same for a point within a synchronous call, where nothing can be delayed. */
  passSync(point: FailpointName, passage: Passage = {}): void {
    for (const { action } of this.#due(point, passage)) act(point, action);
  }

  /** Writes into the journal what is no point to fail at. */
  note(what: string, { batchId = '-', count = 1 }: Passage): void {
    if (this.#journal !== null) writeSync(this.#journal, `${Date.now()} ${what} ${batchId} ${count}\n`);
  }

  #due(point: FailpointName, passage: Passage): readonly Failpoint[] {
    this.note(point, passage);
    return (this.#armed.get(point) ?? []).filter((one) => {
      one.passages += 1;
      return isDue(one);
    });
  }
}

/**
 * The points that the environment arms; null when it arms none. Throws `usage` for what can't be read, and unless
 * MASKLINE_ALLOW_FAILPOINTS is 1: a variable that was left behind must not end a process in production.
 */
export function readFailpoints(
  variables: Readonly<{ [name: string]: string | undefined }>,
): Failpoints | null {
  const text = variables['MASKLINE_FAILPOINTS'];
  if (!text) return null;
  if (variables['MASKLINE_ALLOW_FAILPOINTS'] !== '1') {
    throw new PipelineError(
      'usage',
      'MASKLINE_FAILPOINTS is set, which makes this process fail on purpose: unset it, ' +
        'or say MASKLINE_ALLOW_FAILPOINTS=1 if that is wanted',
    );
  }
  return new Failpoints(parseFailpoints(text));
}

function isDue({ trigger, passages, dice }: Armed): boolean {
  switch (trigger.kind) {
    case 'always':
      return true;
    case 'at':
      return passages === trigger.n;
    case 'every':
      return passages % trigger.n === 0;
    case 'probability':
      return dice.chance(trigger.p);
  }
}

function act(point: FailpointName, action: Failpoint['action']): void {
  if (action.kind === 'crash') {
    process.kill(process.pid, 'SIGKILL');
    // The signal may come a moment after the call has returned, and nothing may happen in between.
    for (;;) stand(1_000);
  }
  if (action.kind === 'throw' && isErrorCode(action.code)) {
    throw new PipelineError(action.code, `failpoint ${point} threw ${action.code}`);
  }
  if (action.kind === 'freeze') stand(action.ms);
}

/** Holds up this thread, and with it all that the process does. */
function stand(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
