import Table from 'cli-table3';
import pc from 'picocolors';
import type { StatusLine } from './status-line.js';

/** A cell of a list or a field of a single result. Keys are snake_case, times ISO 8601 UTC. */
export type Cell = string | number | boolean | null | readonly Cell[] | { readonly [key: string]: Cell };

/** One row of a list. */
export type Row = { readonly [column: string]: Cell };

/** How a command prints: data on stdout, for people on a terminal, for programs elsewhere or with `--json`. */
export interface Output {
  /** True when data goes out as JSON. */
  readonly json: boolean;
  /** A table on a terminal, else a JSON object a line. */
  list(rows: readonly Row[], columns: readonly string[]): void;
  /** One result: `text` on a terminal, else one JSON object on one line. */
  result(value: Row, text: string): void;
  /** Text that is the data itself (a schema, SQL, a template). */
  text(text: string): void;
  /** A remark or progress on stderr. */
  note(text: string): void;
}

/** Prints to the given streams; `isTerminal` says whether people read stdout. */
export function createOutput(streams: {
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
  readonly isTerminal: boolean;
  readonly json: boolean;
  /** Shares a terminal with what is printed. */
  readonly line: StatusLine;
}): Output {
  const json = streams.json || !streams.isTerminal;
  const { line } = streams;
  const write = (stream: NodeJS.WritableStream, text: string): void =>
    line.aside(() => void stream.write(text));
  const out = (text: string): void => write(streams.stdout, `${text}\n`);
  return {
    json,
    list: (rows, columns) => {
      if (json) for (const row of rows) out(JSON.stringify(row));
      else out(renderTable(rows, columns));
    },
    result: (value, text) => out(json ? JSON.stringify(value) : text),
    text: (text) => write(streams.stdout, text.endsWith('\n') ? text : `${text}\n`),
    note: (text) => write(streams.stderr, `${text}\n`),
  };
}

/** A plain table: a header line and one line a row, nulls as `-`. */
export function renderTable(rows: readonly Row[], columns: readonly string[]): string {
  const table = new Table({
    head: columns.map((column) => pc.bold(column)),
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 2 },
    chars: noBorders,
  });
  for (const row of rows) table.push(columns.map((column) => showCell(row[column] ?? null)));
  return table.toString();
}

/** The fields of one thing, one a line, for people. */
export function renderFields(fields: readonly (readonly [name: string, value: Cell])[]): string {
  const width = Math.max(...fields.map(([name]) => name.length));
  return fields.map(([name, value]) => `${pc.bold(name.padEnd(width))}  ${showCell(value)}`).join('\n');
}

const noBorders = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '',
};

function showCell(cell: Cell): string {
  if (cell === null) return '-';
  return typeof cell === 'object' ? JSON.stringify(cell) : String(cell);
}
