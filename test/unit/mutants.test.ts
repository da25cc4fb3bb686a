import assert from 'node:assert/strict';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { tryMutants } from '../mutants/campaign.js';
import type { Mutant } from '../mutants/mutant.js';
import { protections } from '../mutants/protections.js';
import { Tree, occurrences } from '../mutants/tree.js';
import { hasTest } from '../support/test-names.js';

const ROOT = dirname(fileURLToPath(new URL('../../../package.json', import.meta.url)));

/** Caught by one quick test, and by none. */
const caught: Mutant = {
  row: 'a batch fails for good',
  name: 'an overdue batch is kept',
  file: 'src/letting-go.ts',
  replace: 'now - batch.heldAt > residenceMs',
  by: 'now - batch.heldAt > residenceMs * 1e9',
  tests: [
    {
      file: 'unit/letting-go.test.ts',
      name: 'when it has waited for longer than is allowed, not at the limit',
    },
  ],
};
const surviving: Mutant = {
  ...caught,
  name: 'a comment',
  file: 'src/load/migrations/0001_core.sql',
  replace: 'a day is a day in UTC',
  by: 'a day is any day',
};

test('each protection is in the source once, and the tests that must notice exist', () => {
  const unfit = protections.flatMap((mutant) => {
    const count = occurrences(ROOT, mutant);
    const absent = mutant.tests.filter(({ file, name }) => !hasTest(ROOT, file, name));
    return [
      ...(count === 1 ? [] : [`${mutant.name}: ${count} times in ${mutant.file}`]),
      ...absent.map(({ file, name }) => `${mutant.name}: no test ${file} › ${name}`),
    ];
  });
  assert.deepEqual(unfit, []);
  const names = protections.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length, 'a name occurs twice');
  assert.ok(protections.every(({ replace, by, tests }) => replace !== by && tests.length > 0));
});

test('a protection that is taken away is noticed, what changes nothing survives, and the project stays as it is', async () => {
  const results = await tryMutants(ROOT, [surviving, caught], () => undefined);
  assert.deepEqual(
    results.map(({ name, caughtBy }) => [name, caughtBy]),
    [
      [surviving.name, null],
      [caught.name, caught.tests[0]?.name],
    ],
  );
  assert.equal(occurrences(ROOT, caught), 1);
});

test('a text that is not in the source, or twice, is an error of the list', () => {
  const tree = new Tree(ROOT);
  try {
    assert.throws(() => tree.change({ ...caught, replace: 'no such text' }), /has this 0 times/);
    assert.throws(() => tree.change({ ...caught, replace: 'held' }), /has this \d+ times/);
  } finally {
    tree.remove();
  }
});
