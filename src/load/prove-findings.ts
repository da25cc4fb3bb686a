/** What can differ. Stable: part of what `maskline prove` prints. */
export type DifferenceKind =
  /** A run's report is not the sum of its four outcomes. */
  | 'run_does_not_add_up'
  /** A run's report says something else than its batches. */
  | 'run_differs'
  /** A batch names a run that is not on record. */
  | 'run_missing'
  /** Ledger or quarantine name a batch that is not on record. */
  | 'batch_missing'
  /** A batch and its entries in the ledger disagree. */
  | 'ledger_differs'
  /** A quarantined record has no entry in the ledger. */
  | 'ledger_entry_missing'
  /** The key of an entry is not that of its record. */
  | 'ledger_entry_altered'
  /** A batch and its entries in quarantine disagree. */
  | 'quarantine_differs'
  /** A record was quarantined, and is neither in quarantine nor was it purged. */
  | 'quarantine_entry_missing'
  /** A replay's batch and the entries that it replayed disagree. */
  | 'replay_differs'
  /** A loaded record has no row. */
  | 'row_missing'
  /** A record has more rows than it may. */
  | 'row_twice'
  /** A record that is still in quarantine has a row. */
  | 'row_of_quarantined'
  /** A row that maskline did not load, as far as its ledger goes. */
  | 'row_unknown'
  /** A batch has another number of rows than it loaded. */
  | 'batch_rows_differ'
  /** The table has another number of rows than were loaded into it. */
  | 'row_count_differs'
  /** The table is gone. */
  | 'target_missing';

/** A count, or several by what is counted. */
type Amount = number | Readonly<{ [what: string]: number }>;

/** One difference: ids and counts, never a value of a message. */
export interface Difference {
  readonly kind: DifferenceKind;
  readonly run_id?: string;
  readonly batch_id?: string;
  /** SQS's id of the message, with `#index` where it held several records. */
  readonly record_id?: string;
  readonly expected?: Amount;
  readonly found?: Amount;
  readonly what: string;
  readonly remedy: string;
}

/** Something that could not be told, how much of it, and why. */
export interface Unchecked {
  readonly what: string;
  readonly count: number;
  readonly why: string;
}

/** Of each kind so many are kept: they are for people to look at, and the totals are exact. */
export const MAX_OF_A_KIND = 100;

const AT_HAND = 'find out who wrote to the database besides maskline';
const REMEDIES: { readonly [kind in DifferenceKind]: string } = {
  run_does_not_add_up: `${AT_HAND}; \`maskline runs show\` has the run's batches, whose sum is the right report`,
  run_differs: `${AT_HAND}; \`maskline runs show\` has the run's batches, whose sum is the right report`,
  run_missing: `${AT_HAND}, and restore the row of maskline.runs from a backup`,
  batch_missing: `${AT_HAND}, and restore the row of maskline.loads from a backup`,
  ledger_differs:
    `${AT_HAND}, and restore the rows of maskline.ledger from a backup: a record without one would be loaded once ` +
    'more if SQS delivered it again',
  ledger_entry_missing: `${AT_HAND}, and restore the row of maskline.ledger from a backup`,
  ledger_entry_altered: `${AT_HAND}, and restore the row of maskline.ledger from a backup`,
  quarantine_differs: `${AT_HAND}; entries are deleted by \`maskline quarantine purge\`, which notes it`,
  quarantine_entry_missing: `${AT_HAND}, and restore the row of maskline.quarantine from a backup: its record is nowhere else`,
  replay_differs: `${AT_HAND}; \`maskline quarantine list --replayed\` has the entries that were replayed`,
  row_missing:
    'restore the row from a backup; where it was deleted by right (retention, or an erasure by hand), run `maskline prove --accept`',
  row_twice: 'find out who else writes to the table, and delete all but one of the rows',
  row_of_quarantined: 'find out who else writes to the table; the record is still to be replayed or purged',
  row_unknown:
    'find out who else writes to the table, or deleted from maskline.ledger; where that is by right, run ' +
    '`maskline prove --accept`',
  batch_rows_differ:
    'restore the rows from a backup; where they were deleted by right (retention, or an erasure by hand), run `maskline prove --accept`',
  row_count_differs:
    'find out who else deletes from the table or writes to it; where that is by right (retention, or an erasure by hand), run ' +
    '`maskline prove --accept`',
  target_missing: 'restore the table from a backup',
};

/** Kinds that are about the target: those that `--accept` accepts. */
const OF_THE_TARGET: ReadonlySet<string> = new Set<DifferenceKind>([
  'row_missing',
  'row_twice',
  'row_of_quarantined',
  'row_unknown',
  'batch_rows_differ',
  'row_count_differs',
]);

/** What was found so far about one pipeline. */
export class ProofFindings {
  readonly #kept = new Map<DifferenceKind, Difference[]>();
  readonly #totals = new Map<DifferenceKind, number>();
  readonly #unchecked: Unchecked[] = [];

  /** The first of each kind. */
  get differences(): readonly Difference[] {
    return [...this.#kept.values()].flat();
  }

  /** How many there are of each kind. */
  get totals(): Readonly<{ [kind: string]: number }> {
    return Object.fromEntries(this.#totals);
  }

  get unchecked(): readonly Unchecked[] {
    return this.#unchecked;
  }

  /** Adds a difference; `more` are others of its kind that are counted only. */
  add(difference: Omit<Difference, 'remedy'>, more = 0): void {
    const { kind } = difference;
    const kept = this.#kept.get(kind) ?? [];
    this.#kept.set(kind, kept);
    if (kept.length < MAX_OF_A_KIND) kept.push({ ...difference, remedy: REMEDIES[kind] });
    this.#totals.set(kind, (this.#totals.get(kind) ?? 0) + 1 + more);
  }

  /** Notes what could not be told; nothing when there was none of it. */
  leave(what: string, count: number, why: string): void {
    if (count > 0) this.#unchecked.push({ what, count, why });
  }
}

/** How many of the differences are about the target, by kind. */
export function ofTheTarget(
  totals: Readonly<{ [kind: string]: number }>,
): Readonly<{ [kind: string]: number }> {
  return Object.fromEntries(Object.entries(totals).filter(([kind]) => OF_THE_TARGET.has(kind)));
}
