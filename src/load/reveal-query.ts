import { escapeIdentifier } from 'pg';
import { PipelineError } from '../errors.js';
import type { PostgresPool } from './connection.js';

/** More than anybody looks at; a request of so many values is refused or approved as a whole. */
const MAX_TOKENS = 100_000;
/** Classes of SQLSTATE (PostgreSQL documentation, appendix A) that are about the query itself. */
const QUERY_CLASSES: readonly string[] = ['22', '25', '42', '0A', '3F'];

/**
 * The texts of one column of a query's result, without nulls, each once, in its order. It runs read-only, with the rights
 * of the database user. Throws `usage` for a query that can't be run, with its SQLSTATE and no text of the server's.
 */
export async function queryTokens(
  pool: PostgresPool,
  sql: string,
  column: string,
): Promise<readonly string[]> {
  const name = escapeIdentifier(column);
  return pool.withClient(async (client) => {
    await client.query('begin read only');
    const text = `select q.${name}::text as token from (${sql.replace(/;\s*$/, '')}\n) as q where q.${name} is not null limit ${MAX_TOKENS + 1}`;
    const { rows } = await client.query<{ token: string }>(text).catch((error: unknown) => {
      throw asQueryError(error);
    });
    await client.query('rollback');
    if (rows.length > MAX_TOKENS) {
      throw new PipelineError('usage', `--sql returns more than ${MAX_TOKENS} tokens: ask for fewer`);
    }
    return [...new Set(rows.map(({ token }) => token))];
  });
}

function asQueryError(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === '42501') {
    return new PipelineError(
      'permission_denied',
      '--sql reads what this database user may not: grant it select on the table',
    );
  }
  if (!QUERY_CLASSES.includes(code.slice(0, 2))) return error;
  return new PipelineError(
    'usage',
    `--sql can't be run as a query that returns the column of --column (SQLSTATE ${code})`,
  );
}
