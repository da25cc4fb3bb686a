import type { Batch } from '../batch.js';
import type { Clock } from '../clock.js';
import type { PostgresPool } from '../load/connection.js';
import type { TableName } from '../load/copy.js';
import { readLimits } from '../load/table-limits.js';
import type { TableLimits } from '../masking/limits.js';
import type { BatchMasker } from '../masking/mask.js';

/** A table that has become stricter is noticed so late; until then its refusals cost an attempt at COPY. */
const MAX_AGE_MS = 60_000;

/**
 * What a pipeline's table refuses, for the masker. Nothing is refused by limits that are older than the batch: they are
 * read again, and where they have changed, or can't be read, the batch is masked again.
 */
export class TargetLimits {
  readonly #pool: Pick<PostgresPool, 'query'>;
  readonly #table: TableName;
  readonly #clock: Clock;
  #limits: TableLimits | null = null;
  #readAt = -Infinity;
  #refusals = 0;

  constructor(pool: Pick<PostgresPool, 'query'>, table: TableName, clock: Clock) {
    this.#pool = pool;
    this.#table = table;
    this.#clock = clock;
  }

  /** The limits as last read; null: none are known. */
  get current(): TableLimits | null {
    return this.#limits;
  }

  /** To be called for each record that is refused by them. */
  noteRefusal(): void {
    this.#refusals += 1;
  }

  /** A masker whose refusals by the limits hold for the table as it is now. `masker` must ask `current`. */
  confirming(masker: BatchMasker): BatchMasker {
    return {
      mask: async (batch: Batch) => {
        if (this.#clock.elapsed() - this.#readAt > MAX_AGE_MS) await this.#read();
        const before = { limits: this.#limits, refusals: this.#refusals };
        const masking = await masker.mask(batch);
        if (this.#refusals === before.refusals) return masking;
        await this.#read();
        return isSame(before.limits, this.#limits) ? masking : masker.mask(batch);
      },
    };
  }

  /** Without Postgres there are no limits: the table decides. */
  async #read(): Promise<void> {
    try {
      this.#limits = await readLimits(this.#pool, this.#table);
    } catch {
      this.#limits = null;
    }
    this.#readAt = this.#clock.elapsed();
  }
}

function isSame(one: TableLimits | null, other: TableLimits | null): boolean {
  return JSON.stringify([...(one ?? [])]) === JSON.stringify([...(other ?? [])]);
}
