// Batches under a tap as they may be shown: of what is masked the masked value, of all else its shape.

import { decodeField } from '../copy-text.js';
import type { PipelineConfig } from '../config/config.js';
import { tablesOf } from '../config/tables.js';
import { shapeOf } from '../foresight/shape.js';
import type { ColumnSpec } from '../masking/methods.js';
import { linesOf } from '../masking/quarantined.js';
import type { Tapped } from '../roles/tap.js';
import type { Row } from './output.js';
import { isoTime } from './report.js';
import { printable } from './unsealed.js';

/** Enough to see what the masks make of them. */
const ROWS_SHOWN = 5;
/** Of a token: enough to tell two apart. */
const VALUE_SHOWN = 20;

/** A batch as programs read it, a line each. */
export function tapRow(tapped: Tapped): Row {
  const { stage, pipeline, batchId, at } = tapped;
  const head = { stage, pipeline: pipeline.name, batch_id: batchId, at: isoTime(at) };
  if (tapped.stage === 'ingest') return { ...head, ...tapped.payload };
  if (tapped.stage === 'load') {
    const { state, received, loaded, duplicates, quarantined, released, bytes, received_at, loaded_at } =
      tapped.load;
    return {
      ...head,
      state,
      received,
      loaded,
      duplicates,
      quarantined,
      released,
      bytes,
      received_at,
      loaded_at,
    };
  }
  const { batch } = tapped;
  const isToday = batch.policySha256 === pipeline.policy.sha256;
  const rejected: { [code: string]: number } = {};
  for (const { code } of batch.rejections) rejected[code] = (rejected[code] ?? 0) + 1;
  return {
    ...{ ...head, rows: batch.keys.length, rejected, policy: isToday ? 'today' : 'other' },
    // By other settings it is not known which columns are masked.
    sample: maskedSample(batch, isToday ? pipeline : null),
  };
}

/** The same for people. */
export function tapText(tapped: Tapped): string {
  const { stage, pipeline, at } = tapped;
  const head = `${isoTime(at)?.slice(11, 23) ?? ''} ${stage} ${pipeline.name}`;
  if (tapped.stage === 'ingest') {
    const { records, bytes } = tapped.payload;
    return `${head}: ${records ?? '?'} records, ${bytes ?? '?'} bytes`;
  }
  if (tapped.stage === 'load') {
    const { state, received, loaded, duplicates, quarantined, released } = tapped.load;
    const counts = `received ${received} = loaded ${loaded} + duplicates ${duplicates} + quarantined ${quarantined}`;
    return `${head}: ${state}: ${counts} + released ${released}`;
  }
  const { batch } = tapped;
  const codes = [...new Set(batch.rejections.map(({ code }) => code))].join(', ');
  const rejected = batch.rejections.length === 0 ? '' : `, ${batch.rejections.length} rejected (${codes})`;
  const isToday = batch.policySha256 === pipeline.policy.sha256;
  const rows = maskedSample(batch, isToday ? pipeline : null).map((row) => {
    const cells = Object.entries(row).map(([column, value]) => `${column}=${value}`);
    return printable(`  ${cells.join('  ')}`);
  });
  return [`${head}: ${batch.keys.length} rows${rejected}`, ...rows].join('\n');
}

type MaskedRow = { readonly [column: string]: string };

/** The first rows of the first table; without a pipeline all of them are shapes. */
function maskedSample(
  { columns, rows }: Extract<Tapped, { stage: 'transform' }>['batch'],
  pipeline: PipelineConfig | null,
): readonly MaskedRow[] {
  const specs = pipeline === null ? [] : tablesOf(pipeline)[0].columns;
  const masked = new Set(specs.filter(isMasked).map(({ name }) => name));
  return linesOf(rows)
    .slice(0, ROWS_SHOWN)
    .map((fields) =>
      Object.fromEntries(
        columns.map((column, i) => [column, shown(decodeField(fields[i] ?? '\\N'), masked.has(column))]),
      ),
    );
}

/** Whether all that is stored of it came out of a mask. */
function isMasked({ mask }: ColumnSpec): boolean {
  return mask.method !== 'keep' && mask.method !== 'json';
}

function shown(value: string | null, masked: boolean): string {
  if (value === null || !masked) return shapeOf(value);
  return value.length > VALUE_SHOWN ? `${value.slice(0, VALUE_SHOWN - 1)}…` : value;
}
