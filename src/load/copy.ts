import { type ClientBase, escapeIdentifier } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';

/** A table's name, unquoted. */
export interface TableName {
  readonly schema: string;
  readonly table: string;
}

/** The name as SQL has it. */
export function quoteTable(name: TableName): string {
  return `${escapeIdentifier(name.schema)}.${escapeIdentifier(name.table)}`;
}

/** Streams COPY text into a table, as quoted; resolves with the number of rows that the server says it wrote. */
export async function copyRows(
  client: ClientBase,
  table: string,
  columns: readonly string[],
  rows: Buffer,
): Promise<number> {
  const into = `${table} (${columns.map(escapeIdentifier).join(', ')})`;
  const stream = client.query(copyFrom(`copy ${into} from stdin with (format text, encoding 'UTF8')`));
  await new Promise<void>((resolve, reject) => {
    // Not once: a connection that is given up, and then closed, tells of both, and an error unheard ends the process.
    stream.on('error', reject);
    // It ends when the server is ready for the next statement.
    stream.once('finish', resolve);
    // In one piece: each write is a message of its own.
    stream.end(rows);
  });
  return stream.rowCount;
}
