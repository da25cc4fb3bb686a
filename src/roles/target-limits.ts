import type { Batch } from '../batch.js';
import type { Clock } from '../clock.js';
import type { PostgresPool } from '../load/connection.js';
import type { TableName } from '../load/copy.js';
import { readLimits } from '../load/table-limits.js';
import type { TableLimits } from '../masking/limits.js';
import type { BatchMasker } from '../masking/mask.js';

/** A table that has become stricter is noticed so late; until then its refusals cost an attempt at COPY. */
const MAX_AGE_MS = 60_000;

const NONE: ReadonlyMap<string, TableLimits> = new Map();

/**
 * What a pipeline's tables refuse, for the masker. Nothing is refused by limits that are older than the batch: they are
 * read again, and where they have changed, or can't be read, the batch is masked again.
 */
export class TargetLimits {
  readonly #pool: Pick<PostgresPool, 'query'>;
  readonly #tables: readonly TableName[];
  readonly #clock: Clock;
  #limits: ReadonlyMap<string, TableLimits> = NONE;
  #readAt = -Infinity;
  #refusals = 0;

  /** The first of the tables is that of a row for each record. */
  constructor(pool: Pick<PostgresPool, 'query'>, tables: readonly TableName[], clock: Clock) {
    this.#pool = pool;
    this.#tables = tables;
    this.#clock = clock;
  }

  /** The limits of the first table as last read; null: none are known. */
  get current(): TableLimits | null {
    const [own] = this.#tables;
    return own ? this.ofTable(nameOf(own)) : null;
  }

  /** The same of a table by its `schema.table`. */
  ofTable(table: string): TableLimits | null {
    return this.#limits.get(table) ?? null;
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
      const read = await Promise.all(
        this.#tables.map(async (table) => [nameOf(table), await readLimits(this.#pool, table)] as const),
      );
      this.#limits = new Map(read);
    } catch {
      this.#limits = NONE;
    }
    this.#readAt = this.#clock.elapsed();
  }
}

function nameOf({ schema, table }: TableName): string {
  return `${schema}.${table}`;
}

function isSame(one: ReadonlyMap<string, TableLimits>, other: ReadonlyMap<string, TableLimits>): boolean {
  const written = (all: ReadonlyMap<string, TableLimits>): string =>
    JSON.stringify([...all].map(([table, limits]) => [table, [...limits]]));
  return written(one) === written(other);
}
