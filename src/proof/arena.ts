import type { PostgresPool } from '../load/connection.js';
import type { FleetOptions } from './fleet.js';
import type { Marks } from './messages.js';
import type { Findings } from './oracle.js';
import type { ProofStack } from './stack.js';

/** What was sent: the message of each index. */
export interface Sent {
  readonly seed: number;
  readonly marks: Marks;
  /** SQS's ids, by index. */
  readonly ids: readonly string[];
}

/** Messages that SQS still has. */
export interface Left {
  readonly queue: number;
  /** Null where there is no dead-letter queue to be looked at. */
  readonly deadLetters: number | null;
}

/** Where a run takes place: the embedded stack, or a deployment that was named. */
export interface Arena {
  /** Null in a deployment that is not the run's own: there, nothing but the run's own processes is touched. */
  readonly stack: ProofStack | null;
  readonly fleet: Pick<FleetOptions, 'configFile' | 'args' | 'env' | 'dir'>;
  /** Past all proxies. */
  readonly pool: PostgresPool;
  /** Sends the messages of so many indexes; returns their ids in order. */
  send(from: number, count: number): Promise<readonly string[]>;
  /** Delivers messages once more; returns the ids of those for which that could be done. */
  redeliver(ids: readonly string[]): Promise<readonly string[]>;
  left(): Promise<Left>;
  /** How many batches are in the queues between the stages, failed ones left out. */
  batches(): Promise<number>;
  /** The verdict, once all is quiet and all processes have stopped. */
  judge(sent: Sent, lives: LivesFacts): Promise<Findings>;
}

/** What the verdict must know of the processes. */
export interface LivesFacts {
  /** Ids of processes that ended without a chance to say so. */
  readonly killedPids: ReadonlySet<number>;
  readonly startedAt: number;
}
