// What one column keeps and another masks: a leak gate stops the batches of both.

import type { ColumnSpec, PathStep } from '../masking/methods.js';
import { partsOf } from '../masking/parts.js';
import type { Findings, Path } from './problem.js';
import type { PlacedTable } from './tables.js';

/** Warns of columns that keep the very place that another masks, in whatever table; `at` is the pipeline. */
export function warnOfKept(tables: readonly PlacedTable[], at: Path, findings: Findings): void {
  const all = tables.flatMap(({ columns, columnsAt, target }) =>
    columns.flatMap((column) =>
      partsOf(column).map((part) => ({
        name: `${target.table}.${part.name}`,
        method: part.mask.method,
        place: placeOf(part),
        column: [...at, ...columnsAt, column.name],
      })),
    ),
  );
  for (const kept of all) {
    if (kept.method !== 'keep' || kept.place === null) continue;
    const masked = all.find((other) => other.method !== 'keep' && other.place === kept.place);
    if (masked === undefined) continue;
    findings.warn(
      kept.column,
      `keeps what ${masked.name} masks, so that the leak gate stops what has a value there: mask it too, or set \`leak_gate: false\``,
    );
  }
}

/** The place in the body as a text; null for what is no place there. */
function placeOf({ source }: ColumnSpec): string | null {
  if (source.kind === 'attribute') return `$${source.name}`;
  if (source.kind !== 'field' && source.kind !== 'path') return null;
  const steps: readonly PathStep[] = source.kind === 'path' ? source.steps : [];
  return JSON.stringify([source.name, ...steps]);
}
