import { valueAt, entriesOf } from './issues.js';
import { jsonSchema } from './json-schema.js';
import { durationPattern, sizePattern } from './units.js';

interface Row {
  readonly key: string;
  readonly value: string;
  readonly fallback: string;
  readonly meaning: string;
}

const PIPELINE = 'pipelines.NAME';
const COLUMN = `${PIPELINE}.columns.COLUMN`;
const TARGETS = `${PIPELINE}.targets`;
const TABLE_KEYS = ['from_each', 'columns'];

/** The tables of all keys of maskline.yaml in Markdown, made from the schema; docs/reference.md holds them. */
export function referenceMarkdown(): string {
  const rows = rowsOf(jsonSchema(), '', false);
  const within = (prefix: string): readonly Row[] =>
    rows
      .filter(({ key }) => key.startsWith(`${prefix}.`))
      .map((row) => ({ ...row, key: row.key.slice(prefix.length + 1) }));
  const common = rows.filter(({ key }) => !key.startsWith(`${PIPELINE}.`));
  const pipeline = within(PIPELINE).filter(({ key }) => !key.startsWith('columns.COLUMN.'));
  return [
    section('For all pipelines', common),
    section(`In \`${PIPELINE}\``, pipeline),
    section(`In \`${COLUMN}\``, within(COLUMN)),
  ].join('\n\n');
}

function section(title: string, rows: readonly Row[]): string {
  const cells = [
    ['Key', 'Value', 'Default', 'Meaning'],
    ...rows.map(({ key, value, fallback, meaning }) => [`\`${key}\``, value, fallback, meaning]),
  ].map((row) => row.map((cell) => cell.replaceAll('|', '\\|')));
  const widths = [0, 1, 2, 3].map((index) => Math.max(...cells.map((row) => row[index]?.length ?? 0)));
  const lines = cells.map((row) => tableLine(row.map((cell, index) => cell.padEnd(widths[index] ?? 0))));
  lines.splice(1, 0, tableLine(widths.map((width) => '-'.repeat(width))));
  return `### ${title}\n\n${lines.join('\n')}`;
}

function tableLine(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

function rowsOf(node: unknown, prefix: string, within: boolean): readonly Row[] {
  const required = valueAt(node, ['required']);
  return entriesOf(valueAt(node, ['properties'])).flatMap(([name, child]) => {
    const key = within ? `${prefix}.${name}` : name;
    const isRequired = Array.isArray(required) && required.includes(name);
    return [rowOf(key, child, isRequired), ...nestedRows(key, child)];
  });
}

function nestedRows(key: string, node: unknown): readonly Row[] {
  // Each of its entries is as `mask`, which is told before it.
  if (key === 'masks') return [];
  // But for a few, the keys of each entry are those of `target`, which is told before it.
  if (key === TARGETS)
    return rowsOf(valueAt(node, ['items']), `${key}[]`, true).filter((row) =>
      TABLE_KEYS.some((own) => row.key === `${TARGETS}[].${own}`),
    );
  const entry = valueAt(node, ['additionalProperties']);
  if (typeof entry === 'object') {
    const placeholder = `${key}.${key === 'pipelines' ? 'NAME' : 'COLUMN'}`;
    return rowsOf(entry, placeholder, true);
  }
  return branchesOf(node).flatMap((branch) => rowsOf(branch, key, true));
}

function branchesOf(node: unknown): readonly unknown[] {
  const branches = valueAt(node, ['anyOf']);
  return Array.isArray(branches) ? branches : [node];
}

function rowOf(key: string, node: unknown, isRequired: boolean): Row {
  const fallback = valueAt(node, ['default']);
  return {
    key,
    value: kindsOf(node).join(' or '),
    fallback: fallback === undefined ? (isRequired ? 'required' : '') : `\`${written(fallback)}\``,
    meaning: written(valueAt(node, ['description'])),
  };
}

function kindsOf(node: unknown): readonly string[] {
  const kinds = [...new Set(branchesOf(node).map(kindOf))].filter((kind) => kind !== '');
  // That a size may also be a plain number of bytes is said once, above the tables.
  return kinds.includes('size') ? ['size'] : kinds;
}

/** What may stand at a key, in a few words; empty for the branch that only admits interpolation. */
function kindOf(node: unknown): string {
  const words = valueAt(node, ['enum']);
  if (Array.isArray(words))
    return words
      .map((word) => `\`${String(word)}\``)
      .filter(unique)
      .join(', ');
  const constant = valueAt(node, ['const']);
  if (constant !== undefined) return `\`${written(constant)}\``;
  const pattern = valueAt(node, ['pattern']);
  if (typeof pattern === 'string') return patternKind(pattern);
  const type = valueAt(node, ['type']);
  if (Array.isArray(type)) return type.map((name) => TYPE_NAMES[String(name)] ?? String(name)).join(' or ');
  if (type === 'integer' || type === 'number') return numberKind(node);
  return TYPE_NAMES[String(type)] ?? '';
}

const TYPE_NAMES: Readonly<{ [type: string]: string }> = {
  string: 'text',
  array: 'list',
  boolean: 'true or false',
  integer: 'number',
  null: '`null`',
  object: 'map',
};

/** A scalar as the file would hold it. */
function written(value: unknown): string {
  if (typeof value === 'string') return value;
  return value === undefined ? '' : JSON.stringify(value);
}

function unique(item: string, index: number, all: readonly string[]): boolean {
  return all.indexOf(item) === index;
}

function patternKind(pattern: string): string {
  if (pattern.startsWith(durationPattern)) return 'duration';
  return pattern.startsWith(sizePattern) ? 'size' : '';
}

function numberKind(node: unknown): string {
  const maximum = valueAt(node, ['maximum']);
  const minimum = valueAt(node, ['minimum']);
  return typeof maximum === 'number' && typeof minimum === 'number'
    ? `number, ${minimum} to ${maximum}`
    : 'number';
}
