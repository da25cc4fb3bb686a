import type { Mutant, Witness } from './mutant.js';
import { Tree, byFile } from './tree.js';

/** What became of a mutant; `caughtBy` is null when it survived. */
export interface Result {
  readonly row: string;
  readonly name: string;
  readonly caughtBy: string | null;
  readonly seconds: number;
}

/** Without its protection a test may wait for what never comes. */
const TEST_LIMIT_MS = 180_000;
const HUNG = 'a test that waited in vain';

/**
 * Builds a copy of the project, sees the named tests pass, then takes one protection away after the other and runs
 * the tests that must notice. Throws when a mutant can't be applied or built, or when a test fails or is missing
 * without any mutant.
 */
export async function tryMutants(
  root: string,
  mutants: readonly Mutant[],
  onResult: (result: Result) => void,
): Promise<readonly Result[]> {
  const tree = new Tree(root);
  try {
    await tree.build();
    await passUnchanged(tree, mutants);
    const results: Result[] = [];
    for (const mutant of mutants) {
      const startedAt = Date.now();
      const caughtBy = await tryMutant(tree, mutant);
      const { row, name } = mutant;
      const result = { row, name, caughtBy, seconds: Math.round((Date.now() - startedAt) / 100) / 10 };
      results.push(result);
      onResult(result);
    }
    return results;
  } finally {
    tree.remove();
  }
}

async function passUnchanged(tree: Tree, mutants: readonly Mutant[]): Promise<void> {
  for (const [file, all] of byFile(mutants.flatMap((mutant) => mutant.tests))) {
    const names = [...new Set(all)];
    const { outcomes } = await tree.test(file, names, names.length * TEST_LIMIT_MS);
    for (const name of names) {
      const own = outcomes.filter((outcome) => outcome.name === name);
      if (own.length > 0 && own.every(({ passed }) => passed)) continue;
      throw new Error(`without any mutant, ${file} › ${name} ${own.length === 0 ? 'did not run' : 'failed'}`);
    }
  }
}

async function tryMutant(tree: Tree, mutant: Mutant): Promise<string | null> {
  const undo = tree.change(mutant);
  try {
    await tree.build();
    return await caughtBy(tree, mutant.tests);
  } catch (error) {
    throw new Error(`mutant "${mutant.name}"`, { cause: error });
  } finally {
    undo();
  }
}

async function caughtBy(tree: Tree, tests: readonly Witness[]): Promise<string | null> {
  for (const [file, names] of byFile(tests)) {
    const { outcomes, hung } = await tree.test(file, names, TEST_LIMIT_MS);
    const failed = outcomes.find(({ name, passed }) => !passed && names.includes(name));
    if (failed) return failed.name;
    if (hung) return HUNG;
  }
  return null;
}
