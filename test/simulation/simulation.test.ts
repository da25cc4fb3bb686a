import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Campaign } from './campaign.js';
import { callFaults, placedFaults } from './faults.js';
import { benignBugs, plantedBugs } from './planted.js';
import { runSchedule } from './schedule.js';
import type { PlantedResult } from './sim.js';

const SCHEDULES = 1_000;
/** A kind of fault that hardly ever bites proves nothing; the rarest comes more than twice as often. */
const MIN_BITES = 50;
/** The moments in which a pipeline can lose or double something: each must come about. */
const MIN_MOMENTS = {
  batches_released: 300,
  batches_with_held: 100,
  commits_of_a_decided_batch: 100,
  commits_that_lost_to_another_loader: 3,
  releases_that_lost_to_a_commit: 3,
  transactions_abandoned: 100,
  waits_for_a_lock: 100,
  duplicates: 300,
  dead_letters: 50,
  groups_blocked: 70,
  group_followed: 150,
  quarantined: 300,
  runs_completed: 5_000,
  parted_acked: 200,
  parted_released: 200,
  parted_broken_off: 5,
};

/** The runner's seed, so that every run sees other schedules; alone, the test begins at 1. */
const firstSeed = Number(process.env['MASKLINE_TEST_SEED'] ?? 1);

/** The lines that the command prints. In a process of its own, since the test runner's hooks make promises three times slower. */
function sim(...args: readonly string[]): Promise<readonly string[]> {
  const command = fileURLToPath(new URL('sim.js', import.meta.url));
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [command, '--json', ...args],
      { maxBuffer: 1 << 26 },
      (error, stdout, stderr) => {
        // It exits with 1 when it has found something, which is for the test to judge.
        if (stderr === '') resolve(stdout.trim().split('\n'));
        else reject(new Error(`the simulation failed: ${stderr}`, { cause: error }));
      },
    );
  });
}

function counts(of: { readonly [name: string]: number }): string {
  return Object.entries(of)
    .map(([name, count]) => `${name} ${count}`)
    .join(' · ');
}

describe('the pipeline under a deterministic scheduler', () => {
  test(`${SCHEDULES} schedules with every fault lose nothing, load nothing twice, and come to their end`, async (t) => {
    const [line = ''] = await sim('--schedules', String(SCHEDULES), '--seed', String(firstSeed));
    const campaign = JSON.parse(line) as Campaign;
    t.diagnostic(`seeds ${firstSeed} to ${firstSeed + SCHEDULES - 1} · steps ${campaign.steps}`);
    t.diagnostic(counts(campaign.faults));
    t.diagnostic(counts(campaign.coverage));
    const failures = campaign.failed.map(
      ({ seed, violations }) =>
        `${violations.join('; ')}; again: node dist/test/simulation/sim.js --schedules 1 --seed ${seed}`,
    );
    assert.deepEqual(failures, []);
    for (const fault of [...callFaults, ...placedFaults])
      assert.ok(
        (campaign.faults[fault] ?? 0) > MIN_BITES,
        `${fault} bit ${campaign.faults[fault] ?? 0} times`,
      );
    for (const [moment, least] of Object.entries(MIN_MOMENTS)) {
      const count = campaign.coverage[moment] ?? 0;
      assert.ok(count >= least, `${moment} came about ${count} times`);
    }
  });

  test('a seed goes the same way every time, so that a failure can be replayed', async () => {
    for (let seed = firstSeed; seed < firstSeed + 5; seed += 1) {
      assert.deepEqual(await runSchedule(seed), await runSchedule(seed));
    }
  });

  test('100 groups of 40 messages of a FIFO queue, ten at a receive, are committed in their order', async (t) => {
    const mode = firstSeed % 2 === 0 ? 'block' : 'skip';
    const size = ['--groups', '100', '--per-group', '40', '--fifo', mode];
    const [line = ''] = await sim('--schedules', '1', '--seed', String(firstSeed), ...size);
    const { failed, coverage, faults } = JSON.parse(line) as Campaign;
    t.diagnostic(`seed ${firstSeed} · ${mode} · ${counts(faults)}`);
    t.diagnostic(counts(coverage));
    assert.deepEqual(
      failed.map(({ violations }) => violations),
      [],
    );
    assert.equal(coverage['messages'], 4_000);
    assert.ok((coverage['group_followed'] ?? 0) > 200, 'the groups were in few batches');
  });

  test(`each planted defect is found within ${SCHEDULES} schedules, and what does no harm is not`, async (t) => {
    const lines = await sim('--planted', '--schedules', String(SCHEDULES));
    const results = lines.map((line) => JSON.parse(line) as PlantedResult);
    const names = [...Object.keys(plantedBugs), ...Object.keys(benignBugs)];
    assert.deepEqual(
      results.map((result) => result.name),
      names,
    );
    for (const { name, benign, found } of results) {
      t.diagnostic(`${name}: ${found ? `seed ${found.seed}: ${found.violation}` : 'not found'}`);
      assert.equal(found === null, benign, name);
    }
  });
});
