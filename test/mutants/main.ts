// `npm run mutants [-- NAME… --json]`: takes the protections of maskline away, one at a time, in a copy of the project,
// and sees a test fail for each. A NAME is a part of a mutant's name or row. Ends with 1 when one survived, and with 2 when
// the list in protections-*.ts does not fit the source. Takes a few seconds for each, more where servers are started.

import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { type Result, tryMutants } from './campaign.js';
import { protections } from './protections.js';

const ROOT = dirname(fileURLToPath(new URL('../../../package.json', import.meta.url)));

function line({ row, name, caughtBy, seconds }: Result): string {
  const verdict = caughtBy === null ? 'SURVIVED' : `caught by ${caughtBy}`;
  return `${row} | ${name}: ${verdict} (${seconds} s)`;
}

const print = (text: string): void => void process.stdout.write(`${text}\n`);

async function main(args: readonly string[]): Promise<number> {
  const asJson = args.includes('--json');
  const wanted = args.filter((arg) => arg !== '--json');
  const mutants = protections.filter(
    ({ name, row }) =>
      wanted.length === 0 || wanted.some((part) => name.includes(part) || row.includes(part)),
  );
  if (mutants.length === 0) throw new Error(`no mutant has ${wanted.join(' or ')} in its name or row`);
  const results = await tryMutants(ROOT, mutants, (result) =>
    print(asJson ? JSON.stringify(result) : line(result)),
  );
  const survived = results.filter(({ caughtBy }) => caughtBy === null).length;
  const count = { mutants: results.length, caught: results.length - survived, survived };
  print(asJson ? JSON.stringify(count) : `${count.caught} of ${count.mutants} caught, ${survived} survived`);
  return survived > 0 ? 1 : 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${inspect(error)}\n`);
  process.exitCode = 2;
}
