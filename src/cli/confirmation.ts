import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import { PipelineError } from '../errors.js';
import type { CliContext } from './context.js';

/**
 * Asks whether to go on with a change in bulk; true without asking under `--yes`. Throws `usage` where there is nobody
 * to ask, so that no script changes many things by mistake.
 */
export async function confirm({ yes, isTerminal }: CliContext, question: string): Promise<boolean> {
  if (yes) return true;
  if (!isTerminal || !process.stdin.isTTY) {
    throw new PipelineError('usage', `${question} Say --yes to do it, or --dry-run to see what it would do`);
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    // A terminal that is closed has said no.
    const closed = once(terminal, 'close').then(() => '');
    const answer = await Promise.race([terminal.question(`${question} [y/N] `), closed]);
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    terminal.close();
  }
}
