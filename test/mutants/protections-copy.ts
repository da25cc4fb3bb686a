// Protections in src/load: the connection, its errors, and COPY.

import type { Mutant } from './mutant.js';

const FATE = 'src/load/fate.ts';
const SINK = 'src/load/postgres.ts';
const CONNECTION = 'src/load/connection.ts';

/** Mutants of how rows get in. */
export const copyProtections: readonly Mutant[] = [
  {
    row: 'Postgres immediate shutdown within COPY',
    name: 'nobody hears of a connection that is lost while it is lent out',
    file: CONNECTION,
    replace: "client.on('error', () => undefined));",
    by: 'client.listenerCount("error"));',
    tests: [
      {
        file: 'integration/load-races.test.ts',
        name: 'the backend is killed while the loader is between two statements: an outage, and the process lives on',
      },
    ],
  },
  {
    row: 'Postgres immediate shutdown within COPY',
    name: 'a full disk and too many connections count as defects',
    file: 'src/load/postgres-error.ts',
    replace: "['08', '53', '57', '58'].includes(kind)",
    by: "['08', '57', '58'].includes(kind)",
    tests: [
      {
        file: 'integration/faults-postgres.test.ts',
        name: 'the disk is full (53100): it is waited out, and all comes to its end',
      },
    ],
  },
  {
    row: 'Postgres immediate shutdown within COPY',
    name: 'a read-only database counts as a defect',
    file: 'src/load/postgres-error.ts',
    replace: "|| sqlstate === '25006') return",
    by: ') return',
    tests: [
      {
        file: 'integration/load-outages.test.ts',
        name: 'the database is read-only: postgres_unavailable; nothing is written or quarantined, and mended, the same batch commits',
      },
    ],
  },
  {
    row: 'Postgres immediate shutdown within COPY',
    name: 'a lock that is held counts as a defect',
    file: 'src/load/postgres-error.ts',
    replace: "kind === '40' || sqlstate === '55P03'",
    by: "kind === '40'",
    tests: [
      {
        file: 'integration/load-outages.test.ts',
        name: 'a lock held by somebody else is contention to a loader, and an outage to an ingester',
      },
    ],
  },
  {
    row: 'COPY refused',
    name: 'one COPY more for every bad row',
    file: SINK,
    replace: 'if (this.#copies < COPIES_FIRST && this.#leaveOutSuspect(',
    by: 'if (this.#copies < COPIES_FIRST + 7 && this.#leaveOutSuspect(',
    tests: [
      {
        file: 'integration/load-refused.test.ts',
        name: 'a failed CHECK, in half of 1,000 rows: three COPYs at most, each good row loaded, each bad one quarantined once',
      },
    ],
  },
  {
    row: 'COPY refused',
    name: 'deferred constraints wait for COMMIT',
    file: FATE,
    replace: 'set constraints all immediate; ',
    by: '',
    tests: [
      {
        file: 'integration/load-refused.test.ts',
        name: 'a deferred constraint: that row alone is quarantined, with its SQLSTATE and path, and all others are loaded',
      },
    ],
  },
  {
    row: 'a row whose COPY text',
    name: 'rows are not counted before COMMIT',
    file: SINK,
    replace: 'if (taken !== lines.length) throw',
    by: 'if (taken < 0) throw',
    tests: [
      {
        file: 'integration/load-refused.test.ts',
        name: 'a trigger that drops rows without an error stops the pipeline, and nothing is written',
      },
    ],
  },
  {
    row: 'a row whose COPY text',
    name: 'backslashes are not doubled',
    file: 'src/copy-text.ts',
    replace: String.raw`  '\\': '\\\\',`,
    by: '',
    tests: [
      {
        file: 'unit/copy-text.test.ts',
        name: 'text that looks like NULL or like the end of data comes back as text',
      },
    ],
  },
  {
    row: 'config changed',
    name: 'rows go to the columns of the table, not of their batch',
    file: 'src/load/copy.ts',
    replace: "`${table} (${columns.map(escapeIdentifier).join(', ')})`",
    by: '`${table}${columns.length > 0 ? "" : ""}`',
    tests: [
      {
        file: 'integration/faults-policy.test.ts',
        name: 'a column is added between masking and loading: the batch is loaded by its own columns, the next by the new ones',
      },
    ],
  },
  {
    row: 'power cut',
    name: 'a role decides how durable a commit is',
    file: FATE,
    replace: "'begin; set local synchronous_commit = on; ",
    by: "'begin; ",
    tests: [
      {
        file: 'integration/load-commit.test.ts',
        name: 'a batch is durable although its role has synchronous_commit off',
      },
    ],
  },
];
