// The simulation from the command line:
//   node dist/test/simulation/sim.js [--schedules N] [--seed S] [--planted [NAME]] [--verbose]
// Runs the schedules S, S+1, ..., and fails on the first violation. --planted: looks for each planted defect instead
// (or for the one that is named), and fails when one is not found.

import { parseArgs } from 'node:util';
import { type Benign, type Planted, benignBugs, plantedBugs } from './planted.js';
import { type Campaign, findPlanted, runCampaign } from './campaign.js';

const DEFAULT_SCHEDULES = 1_000;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function table(counts: { readonly [name: string]: number }): string {
  const entries = Object.entries(counts).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return entries.map(([name, count]) => `  ${name.padEnd(28)} ${count}`).join('\n');
}

function show(campaign: Campaign): void {
  const { schedules, firstSeed, steps, virtualMs, wallMs, failed } = campaign;
  print(table(campaign.faults));
  print(table(campaign.coverage));
  for (const result of failed) {
    print(`seed ${result.seed}: again with --schedules 1 --seed ${result.seed}`);
    for (const violation of result.violations) print(`  ${violation}`);
  }
  const hours = (virtualMs / 3_600_000).toFixed(0);
  print(
    `schedules ${schedules} · seeds from ${firstSeed} · failed ${failed.length} · steps ${steps} · ` +
      `${hours} virtual hours · ${(wallMs / 1_000).toFixed(1)} s`,
  );
}

async function showPlanted(name: Planted | Benign, schedules: number, firstSeed: number): Promise<boolean> {
  const isBenign = name in benignBugs;
  const found = await findPlanted(name, schedules, firstSeed);
  const verdict =
    found === null ? `not found in ${schedules}` : `seed ${found.seed}: ${found.violations[0] ?? ''}`;
  print(`${name.padEnd(28)} ${isBenign ? '(benign) ' : ''}${verdict}`);
  return (found === null) === isBenign;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      schedules: { type: 'string', default: String(DEFAULT_SCHEDULES) },
      seed: { type: 'string', default: '1' },
      planted: { type: 'boolean', default: false },
      only: { type: 'string' },
    },
  });
  const schedules = Number(values.schedules);
  const firstSeed = Number(values.seed);
  if (!Number.isSafeInteger(schedules) || schedules < 1 || !Number.isSafeInteger(firstSeed)) {
    print('--schedules takes a number from 1, --seed a whole number');
    return 2;
  }
  if (!values.planted) {
    const campaign = await runCampaign(schedules, firstSeed);
    show(campaign);
    return campaign.failed.length === 0 ? 0 : 1;
  }
  const names = [...Object.keys(plantedBugs), ...Object.keys(benignBugs)] as (Planted | Benign)[];
  let ok = true;
  for (const name of names) {
    if (values.only === undefined || values.only === name)
      ok = (await showPlanted(name, schedules, firstSeed)) && ok;
  }
  return ok ? 0 : 1;
}

process.exitCode = await main();
