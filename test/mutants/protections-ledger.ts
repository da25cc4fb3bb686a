// Protections in src/load: the ledger, the fate, the quarantine.

import type { Mutant } from './mutant.js';

const LEDGER = 'src/load/ledger.ts';
const FATE = 'src/load/fate.ts';
const SINK = 'src/load/postgres.ts';
const SETTLEMENT = 'src/load/settlement.ts';
const CONNECTION = 'src/load/connection.ts';

/** Mutants of what decides about a record. */
export const ledgerProtections: readonly Mutant[] = [
  {
    row: 'SQS delivers a message twice',
    name: 'a record that the ledger knows is loaded again',
    file: LEDGER,
    replace: 'if (rowCount === entries.length) return',
    by: 'if (entries.length > 0) return',
    tests: [
      {
        file: 'integration/load-commit.test.ts',
        name: 'a record that another batch has settled is a duplicate: one row, whatever the rest of the batch is',
      },
    ],
  },
  {
    row: 'SQS delivers a message twice',
    name: 'ON CONFLICT DO NOTHING of the ledger',
    file: LEDGER,
    replace: "convert_to(t.record_id, 'UTF8')\n  on conflict do nothing`",
    by: "convert_to(t.record_id, 'UTF8')`",
    tests: [
      {
        file: 'integration/load-commit.test.ts',
        name: "plain duplicates and repeated commits leave no error in the server's log",
      },
    ],
  },
  {
    row: 'SQS delivers a message twice',
    name: "the ledger's key holds the time of loading",
    file: LEDGER,
    replace: "select $1, t.sent_at, convert_to(t.record_id, 'UTF8'), t.record_id",
    by: "select $1, clock_timestamp(), convert_to(t.record_id, 'UTF8'), t.record_id",
    tests: [
      {
        file: 'integration/load-commit.test.ts',
        name: "a redelivery after midnight is a duplicate, though the loaders' clocks are a day apart",
      },
    ],
  },
  {
    row: 'SQS delivers a message twice',
    name: 'a record that is twice in one batch',
    file: SETTLEMENT,
    replace: 'seen.size < seen.add(ledgerKey(key)).size;',
    by: 'seen.add(ledgerKey(key)).size > 0;',
    tests: [
      {
        file: 'integration/load-commit.test.ts',
        name: 'a record that comes twice in one batch is loaded once',
      },
    ],
  },
  {
    row: 'SQS delivers a message twice',
    name: 'the same order for all loaders',
    file: LEDGER,
    replace: "   order by t.sent_at, convert_to(t.record_id, 'UTF8')\n",
    by: '',
    tests: [
      {
        file: 'integration/load-races.test.ts',
        name: 'two loaders with the same records in opposite order: each record once, no deadlock, 20 times of 20',
      },
    ],
  },
  {
    row: 'SQS delivers a message twice',
    name: 'a batch older than the memory of the ledger is loaded',
    file: SINK,
    replace: 'if (this.#options.memory) refuseExpired(',
    by: 'if (this.#batch.batchId === "" && this.#options.memory) refuseExpired(',
    tests: [
      {
        file: 'integration/load-prune.test.ts',
        name: 'a batch whose records or fate may be forgotten is refused as expired; one with a fate is done, however old',
      },
    ],
  },
  {
    row: 'a batch is let go while its loader is frozen',
    name: "the fate's row is not looked at before COMMIT",
    file: SINK,
    replace: 'if (!(await on(MASKLINE, decided))) return this.#rollback();',
    by: 'await on(MASKLINE, decided);',
    tests: [
      {
        file: 'integration/load-races.test.ts',
        name: 'a loader frozen at "copied": its batch is let go at once, and waking up it writes nothing',
      },
    ],
  },
  {
    row: 'a batch is let go while its loader is frozen',
    name: 'letting go overwrites a fate',
    file: FATE,
    replace: 'order by t.batch_id\n  on conflict (batch_id) do nothing`',
    by: "order by t.batch_id\n  on conflict (batch_id) do update set state = 'released'`",
    tests: [
      {
        file: 'integration/load-commit.test.ts',
        name: 'letting go is the fate of a batch that has none; one that has is told, and a released one never loads',
      },
    ],
  },
  {
    row: 'a stalled worker wakes up late',
    name: 'the loader does not look at the fate first',
    file: FATE,
    replace: 'return last.rowCount === 0;',
    by: 'return last.rowCount !== null;',
    tests: [
      {
        file: 'integration/load-commit.test.ts',
        name: 'a batch of nothing but rejections, and an empty one, have a fate as well',
      },
      {
        file: 'integration/load-prune.test.ts',
        name: 'a batch whose records or fate may be forgotten is refused as expired; one with a fate is done, however old',
      },
    ],
  },
  {
    row: 'a stalled worker wakes up late',
    name: 'no limit for a transaction that idles',
    file: CONNECTION,
    replace: 'options.idleInTransactionTimeoutMs ?? IDLE_IN_TRANSACTION_TIMEOUT_MS}',
    by: '0}',
    tests: [
      {
        file: 'integration/load-races.test.ts',
        name: 'a loader that stays frozen between deciding and COMMIT is cut off by Postgres, and its batch let go',
      },
    ],
  },
  {
    row: 'a rejected message',
    name: 'a held rejection enters ledger and quarantine',
    file: SETTLEMENT,
    replace: 'if (rejection.held || stops.isHeld(rejection.message)) {',
    by: 'if (stops.isHeld(rejection.message)) {',
    tests: [
      {
        file: 'integration/load-commit.test.ts',
        name: 'a held rejection is released: in no table, its message named in the fate, and free to return',
      },
    ],
  },
  {
    row: 'a rejected message',
    name: 'a rejection is quarantined at every delivery',
    file: SETTLEMENT,
    replace: 'if (tally.known.has(index)) continue;',
    by: '',
    tests: [
      {
        file: 'integration/load-commit.test.ts',
        name: 'a rejection is quarantined once, sealed as it came, however often its message returns',
      },
    ],
  },
  {
    row: 'two replays',
    name: 'a replay does not lock its entries',
    file: 'src/load/replay.ts',
    replace: 'order by id for update`',
    by: 'order by id`',
    tests: [
      {
        file: 'integration/load-replay.test.ts',
        name: 'a second replay waits for the first, and finds the entries claimed',
      },
    ],
  },
  {
    row: 'two replays',
    name: 'a replay does not claim its entries',
    file: 'src/load/replay.ts',
    replace: 'and replayed_at is null order by',
    by: 'order by',
    tests: [
      {
        file: 'integration/load-replay.test.ts',
        name: 'entries that somebody has replayed or deleted before are duplicates, and load nothing',
      },
    ],
  },
];
