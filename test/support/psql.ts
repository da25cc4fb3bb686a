// psql and pg_isready, as far as docker-compose.yml uses them, for machines that have none: with the same arguments and
// the same environment, by a driver.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import pg from 'pg';

/** Whether this machine has both. */
export function hasPsql(): boolean {
  return ['psql', 'pg_isready'].every(
    (name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0,
  );
}

async function main([name, ...args]: readonly string[]): Promise<void> {
  const of = (option: string): string[] =>
    args.flatMap((arg) => (arg.startsWith(`--${option}=`) ? [arg.slice(option.length + 3)] : []));
  const [host, port] = [of('host')[0], of('port')[0]];
  // Of the environment it reads what libpq does: PGHOST, PGPORT, PGUSER, PGDATABASE and PGPASSFILE.
  const client = new pg.Client({ ...(host && { host }), ...(port && { port: Number(port) }) });
  try {
    await client.connect();
  } catch (error) {
    // Whoever asks for a password is there.
    if (name === 'pg_isready' && error instanceof Error && 'severity' in error) return;
    if (name === 'pg_isready' && String(error).includes('password')) return;
    throw error;
  }
  try {
    for (const arg of args) {
      const [, option, value = ''] = /^--(file|command)=(.*)$/s.exec(arg) ?? [];
      if (option === undefined) continue;
      const { rows } = await client.query<Readonly<{ [column: string]: unknown }>>(
        option === 'file' ? readFileSync(value, 'utf8') : value,
      );
      for (const row of rows ?? []) process.stdout.write(`${Object.values(row).join(' | ')}\n`);
    }
  } finally {
    await client.end();
  }
}

if (process.argv[1] === import.meta.filename) await main(process.argv.slice(2));
