// Protections of the vault, of reveals and of erasures.

import { type Mutant, PROMISE } from './mutant.js';

const ERASE = 'integration/erase-proof.test.ts';
const REMASK = 'integration/remask-vault.test.ts';
const ROTATED =
  'each value has one token afterwards, the one that it got under the new key if it has; subjects and former tokens go with it';

/** Mutants of what is kept to be had back, or to be done away with. */
export const vaultProtections: readonly Mutant[] = [
  {
    row: PROMISE,
    name: 'an erasure misses what is on its way to another key',
    file: 'src/load/erasure.ts',
    replace: 'if (!dryRun) await lockVault(client);',
    by: '',
    tests: [{ file: REMASK, name: 'an erasure that meets an entry on its way to another key erases it' }],
  },
  {
    row: PROMISE,
    name: 'a rotation forgets whose values they are',
    file: 'src/masking/vault-rekey.ts',
    replace: 'subjects: subjects.map((text)',
    by: 'subjects: subjects.slice(subjects.length).map((text)',
    tests: [
      { file: REMASK, name: ROTATED },
      {
        file: 'unit/masking-vault.test.ts',
        name: 'an entry comes to the primary key as masking would make it: value, subjects, and another token',
      },
    ],
  },
  {
    row: PROMISE,
    name: 'an entry goes over though it is not what it is found by',
    file: 'src/masking/vault-rekey.ts',
    replace: 'if (!vaultLookup(keyring, domain, kid, encodedOf(plain)).equals(lookup)) return null;',
    by: '',
    tests: [
      {
        file: 'unit/masking-vault.test.ts',
        name: 'an entry of which any part is not what it was stored as stays under its key',
      },
    ],
  },
  {
    row: PROMISE,
    name: 'tokens of two rotations ago mean nothing',
    file: 'src/load/remask-vault.ts',
    replace: 'update maskline.vault_former f set lookup = m.new from moved m where f.lookup = m.old',
    by: 'select from moved',
    tests: [
      {
        file: REMASK,
        name: 'tokens that were replaced before go with their value through the next rotation too',
      },
    ],
  },
  {
    row: PROMISE,
    name: 'a worker fails at a value that is being erased',
    file: 'src/load/migrations/0008_reveal-and-vault.sql',
    replace: 'order by v.lookup for key share;',
    by: 'order by v.lookup;',
    tests: [{ file: REMASK, name: 'a value that is erased while it gets another subject is entered anew' }],
  },
  {
    row: PROMISE,
    name: 'rows that were erased are lost ones',
    file: 'src/load/prove-target-rows.ts',
    replace: 'select n.id, greatest(n.at_least - coalesce(g.rows, 0), 0) as at_least,',
    by: 'select n.id, n.at_least,',
    tests: [
      {
        file: ERASE,
        name: 'prove takes rows that were erased for no others and for no lost ones, where rows are told apart by message id',
      },
    ],
  },
  {
    row: PROMISE,
    name: 'erased rows are not taken off their batch',
    file: 'src/load/prove-target-batches.ts',
    replace: 'else greatest(l.n - coalesce(g.n, 0), 0) end as n, l.is_covered',
    by: 'else l.n end as n, l.is_covered',
    tests: [
      {
        file: ERASE,
        name: 'prove takes rows that were erased for no others and for no lost ones, where rows are told apart by batch id',
      },
    ],
  },
  {
    row: PROMISE,
    name: 'an erasure tells the server the value',
    file: 'src/load/erasure.ts',
    replace: 'if (isClear) return clearCondition(name, baseType, forms);',
    by: "if (isClear && name === '') return clearCondition(name, baseType, forms);",
    tests: [
      {
        file: ERASE,
        name: 'a value that a column keeps as it is does not get into the log of the server when it is erased',
      },
    ],
  },
  {
    row: PROMISE,
    name: 'a preview shows values that are not on record',
    file: 'src/cli/preview.ts',
    replace: 'await record?.(pipeline, messages);',
    by: '',
    tests: [
      {
        file: 'integration/cli-foresight.test.ts',
        name: 'unsealed, puts who and why on record before it shows values',
      },
    ],
  },
  {
    row: PROMISE,
    name: 'a value is opened without a record of it',
    file: 'src/load/migrations/0008_reveal-and-vault.sql',
    replace: "r.token = asked.token and r.action = 'reveal' and r.outcome = 'granted'",
    by: "r.token <> ''",
    tests: [
      {
        file: 'integration/reveal.test.ts',
        name: 'has what is sealed given out for the tokens that are on record as granted to that user, and for no others',
      },
    ],
  },
];
