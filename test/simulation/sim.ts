// The simulation from the command line:
//   node dist/test/simulation/sim.js [--schedules N] [--seed S] [--jobs N] [--planted [--only NAME]] [--json]
// Runs the schedules of seeds S, S+1, ... and fails on any violation. --planted: looks for each planted defect instead
// (or for the one that is named), and fails when one is not found, or when one that does no harm is.
//   … [--groups N [--per-group N] [--fifo skip|block]]
// Instead of small schedules, FIFO queues of so many groups, of which a receive returns up to ten messages.

import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { type Campaign, findPlanted, runCampaign } from './campaign.js';
import { runParallel } from './parallel.js';
import { type Benign, type Planted, benignBugs, plantedBugs } from './planted.js';
import type { FifoSize } from './setup.js';

const DEFAULT_SCHEDULES = '1000';
/** From so many on, the processors share them. */
const MANY_SCHEDULES = 4_000;
/** That something does no harm is not shown by more of the same. */
const BENIGN_SCHEDULES = 150;

/** What `--planted --json` prints of each defect: where it was found, or null. */
export interface PlantedResult {
  readonly name: string;
  readonly benign: boolean;
  readonly found: { readonly seed: number; readonly violation: string } | null;
}

interface Options {
  readonly schedules: number;
  readonly firstSeed: number;
  readonly jobs: number;
  readonly json: boolean;
  readonly fifo: FifoSize | null;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function table(counts: { readonly [name: string]: number }): string {
  const entries = Object.entries(counts).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return entries.map(([name, count]) => `  ${name.padEnd(36)} ${count}`).join('\n');
}

function show({ schedules, firstSeed, steps, virtualMs, wallMs, failed, faults, coverage }: Campaign): void {
  print(table(faults));
  print(table(coverage));
  for (const result of failed) {
    print(`seed ${result.seed} (again: --schedules 1 --seed ${result.seed})`);
    for (const violation of result.violations) print(`  ${violation}`);
  }
  const hours = Math.round(virtualMs / 3_600_000);
  print(
    `schedules ${schedules} · seeds from ${firstSeed} · failed ${failed.length} · steps ${steps} · ` +
      `${hours} virtual hours · ${(wallMs / 1_000).toFixed(1)} s`,
  );
}

async function runAll({ schedules, firstSeed, jobs, json, fifo }: Options): Promise<boolean> {
  const campaign = await (jobs > 1 && fifo === null
    ? runParallel(schedules, firstSeed, jobs)
    : runCampaign(schedules, firstSeed, fifo));
  if (json) print(JSON.stringify(campaign));
  else show(campaign);
  return campaign.failed.length === 0;
}

async function lookFor(name: Planted | Benign, { schedules, firstSeed, json }: Options): Promise<boolean> {
  const benign = name in benignBugs;
  const most = benign ? Math.min(schedules, BENIGN_SCHEDULES) : schedules;
  const result = await findPlanted(name, most, firstSeed);
  const found = result && { seed: result.seed, violation: result.violations[0] ?? '' };
  if (json) print(JSON.stringify({ name, benign, found } satisfies PlantedResult));
  else {
    const verdict = found ? `seed ${found.seed}: ${found.violation}` : `not found in ${most} schedules`;
    print(`${name.padEnd(28)} ${benign ? '(does no harm) ' : ''}${verdict}`);
  }
  return benign === (found === null);
}

function fifoOf(groups: string, perGroup: string, fifo: string): FifoSize {
  return { groups: Number(groups), perGroup: Number(perGroup), mode: fifo === 'block' ? 'block' : 'skip' };
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      schedules: { type: 'string', default: DEFAULT_SCHEDULES },
      seed: { type: 'string', default: '1' },
      jobs: { type: 'string' },
      planted: { type: 'boolean', default: false },
      only: { type: 'string' },
      groups: { type: 'string' },
      'per-group': { type: 'string', default: '200' },
      fifo: { type: 'string', default: 'skip' },
      json: { type: 'boolean', default: false },
    },
  });
  const options = {
    schedules: Number(values.schedules),
    firstSeed: Number(values.seed),
    jobs: Number(values.jobs ?? (Number(values.schedules) < MANY_SCHEDULES ? 1 : availableParallelism())),
    json: values.json,
    fifo: values.groups === undefined ? null : fifoOf(values.groups, values['per-group'], values.fifo),
  };
  const names = ([...Object.keys(plantedBugs), ...Object.keys(benignBugs)] as (Planted | Benign)[]).filter(
    (name) => values.only === undefined || values.only === name,
  );
  const isUsable =
    Number.isSafeInteger(options.firstSeed) &&
    options.schedules >= 1 &&
    options.jobs >= 1 &&
    names.length > 0;
  if (!isUsable) {
    print(
      '--schedules and --jobs take a number from 1, --seed a whole number, --only the name of a planted defect',
    );
    return 2;
  }
  let ok = true;
  if (!values.planted) ok = await runAll(options);
  else for (const name of names) ok = (await lookFor(name, options)) && ok;
  return ok ? 0 : 1;
}

process.exitCode = await main();
