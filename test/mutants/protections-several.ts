// Protections of records that have rows in several tables.

import type { Mutant } from './mutant.js';

const ROW = 'rows of one record for several tables';
const GATE = 'unit/leak-gate-several.test.ts';
const CONFIG = 'unit/config-targets.test.ts';
const REPLAY = 'integration/several-replay.test.ts';
const REFUSED =
  'a record that one table refused has its rows in all tables once the table is mended, and is counted with them';

/** Mutants of what keeps the rows of a record together, and masked. */
export const severalProtections: readonly Mutant[] = [
  {
    row: ROW,
    name: 'tables are told by their place and not by their name',
    file: 'src/load/sections.ts',
    replace: 'wanted === null ? tables[0] : known.find',
    by: 'wanted !== null ? tables[index] : known.find',
    tests: [
      {
        file: 'integration/load-several.test.ts',
        name: 'the tables are told by their names, in whatever order they are configured',
      },
    ],
  },
  {
    row: ROW,
    name: 'an element that can be no row leaves its record alone',
    file: 'src/masking/further.ts',
    replace: 'work.reasons[record] ??= reasons[k] ?? null;',
    by: 'work.reasons[record] ??= null;',
    tests: [
      {
        file: 'unit/masking-several.test.ts',
        name: 'an element that can not be a row rejects its record, and no table gets a row of it',
      },
    ],
  },
  {
    row: ROW,
    name: 'what a list makes of a small body may be of any size',
    file: 'src/masking/further.ts',
    replace: '> FREE_CHARACTERS + body * MOST_GROWTH',
    by: '> FREE_CHARACTERS * body * MOST_GROWTH',
    tests: [
      {
        file: 'unit/masking-several.test.ts',
        name: 'a body whose rows would be many times as large is too large',
      },
    ],
  },
  {
    row: ROW,
    name: 'the leak gate searches the first table only',
    file: 'src/masking/leak-search.ts',
    replace: 'for (const section of sections) {',
    by: 'for (const section of sections.slice(0, 1)) {',
    tests: [{ file: GATE, name: 'what one table masks is found in the rows of another, of any element' }],
  },
  {
    row: ROW,
    name: 'the leak gate takes rows of a list for those of any record',
    file: 'src/masking/leak-gate.ts',
    replace: 'isDeepStrictEqual([...records], expected) && ',
    by: '',
    tests: [{ file: GATE, name: 'what is not masked, or not where it should be, stops the batch' }],
  },
  {
    row: ROW,
    name: 'the leak gate passes rows of tables that are not configured',
    file: 'src/masking/leak-gate.ts',
    replace: 'if (!isDeepStrictEqual(namesOf(parts), namesOf(tables)))',
    by: 'if (!isDeepStrictEqual(namesOf(tables), namesOf(tables)))',
    tests: [{ file: GATE, name: 'what is not masked, or not where it should be, stops the batch' }],
  },
  {
    row: ROW,
    name: 'the leak gate compares the short values of no element',
    file: 'src/masking/leak-search.ts',
    replace:
      'if (element !== null) return records[from + element] === records[from] ? [from + element] : [];',
    by: 'if (element !== null) return [];',
    tests: [
      {
        file: GATE,
        name: 'a kept column of elements that repeats a masked one is found, however short its values are',
      },
    ],
  },
  {
    row: ROW,
    name: 'further tables have no limits',
    file: 'src/roles/target-limits.ts',
    replace: 'this.#tables.map(async (table)',
    by: 'this.#tables.slice(0, 1).map(async (table)',
    tests: [
      {
        file: 'integration/load-limits.test.ts',
        name: 'each table refuses what it refuses itself, and a record that one of them would refuse is in none',
      },
    ],
  },
  {
    row: ROW,
    name: 'limits of the first table are those of all',
    file: 'src/masking/mask.ts',
    replace: 'limits.ofTable?.(spec.table) ?? null',
    by: 'limits.current',
    tests: [
      {
        file: 'integration/load-limits.test.ts',
        name: 'each table refuses what it refuses itself, and a record that one of them would refuse is in none',
      },
    ],
  },
  {
    row: ROW,
    name: 'what one table takes, another keeps with the rest',
    file: 'src/config/cut-outs.ts',
    replace: 'const placed = all.flatMap(placeOf);',
    by: 'const placed = columns.flatMap(placeOf);',
    tests: [{ file: CONFIG, name: 'what one table takes of a body, no other one keeps with the rest' }],
  },
  {
    row: ROW,
    name: 'elements overwrite each other under a key that they have in common',
    file: 'src/config/tables.ts',
    replace: 'upsert.keys.includes(column.name) && isOfElement(column)',
    by: 'upsert.keys.includes(column.name)',
    tests: [
      { file: CONFIG, name: 'what cannot be a table among others is told by its line, and how to mend it' },
    ],
  },
  {
    row: ROW,
    name: 'two tables of one name',
    file: 'src/config/tables.ts',
    replace: '!areApart(sound, at, findings)',
    by: 'sound.length === 0',
    tests: [
      { file: CONFIG, name: 'what cannot be a table among others is told by its line, and how to mend it' },
    ],
  },
  {
    row: ROW,
    name: 'any table may be the first',
    file: 'src/load/sections.ts',
    replace: 'index === 0 ? tables.slice(0, 1) : tables.slice(1)',
    by: 'index === 0 ? tables : tables',
    tests: [
      {
        file: 'integration/load-several.test.ts',
        name: 'rows of records that another table is to have are loaded nowhere',
      },
    ],
  },
  {
    row: ROW,
    name: 'a replay sends the rows of refused records again and again',
    file: 'src/load/replay.ts',
    replace: '(record) => !records.has(record)',
    by: '() => false',
    tests: [{ file: REPLAY, name: REFUSED }],
  },
  {
    row: ROW,
    name: 'a replay counts no rows of further tables',
    file: 'src/load/replay.ts',
    replace: 'further.length === 0 ? null : countRows(further, loaded)',
    by: 'further.length === 0 ? null : countRows(further, new Set())',
    tests: [{ file: REPLAY, name: REFUSED }],
  },
  {
    row: ROW,
    name: 'masked rows are replayed into a table in another place',
    file: 'src/roles/replay-masked.ts',
    replace: '!table || !isInPlace',
    by: '!table',
    tests: [
      {
        file: REPLAY,
        name: 'rows for a table that the pipeline has no longer, or that is its first now, stay, and say so',
      },
    ],
  },
  {
    row: ROW,
    name: 'prove asks further tables for a row for each record',
    file: 'src/load/baseline.ts',
    replace: 'else (l.further_rows ->> ',
    by: 'else l.loaded + 0 * (l.further_rows ->> ',
    tests: [
      {
        file: 'integration/several-prove.test.ts',
        name: 'all tables agree after loads, refusals and replays; each is looked at as closely as its columns allow',
      },
    ],
  },
  {
    row: ROW,
    name: 'an erasure looks at the first table of a refused record',
    file: 'src/roles/erase.ts',
    replace: 'openMasked(keyring, entry).some(',
    by: 'openMasked(keyring, entry).slice(0, 1).some(',
    tests: [
      {
        file: 'integration/several-keys.test.ts',
        name: 'a value is erased from the columns of every table, and from every refused record that holds it in any of them',
      },
    ],
  },
];
