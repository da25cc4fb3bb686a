import path from 'node:path';

import { NULL_FIELD } from '../copy-text.js';
import { PipelineError } from '../errors.js';
import { acceptTexts, nullCells, trimmedOf } from './accepted.js';
import { readCustomFiles } from './custom-files.js';
import { type Input, threadOf } from './custom-thread.js';
import type { Keyring } from './keyring.js';
import { type ColumnSpec, type CustomMask, isList } from './methods.js';
import { type Cell, type ColumnMask, type Normalized, noneNormalized, refuse } from './refusal.js';
import { keepMask } from './values.js';

/** Where maskers are, and how they may hold up the process. */
export interface CustomPlace {
  /** The folder that their files are named from. */
  readonly folder: string;
  /** For how long all of them together may keep the event loop from turning, in ms. */
  readonly blockMs: number;
}

/**
 * Masks by a function of the user's, in a thread of its own; equal values of a column are given to it once. What it
 * gives is checked as a kept value of the column's type would be; whatever else it does is `mask_failed`. Throws
 * `config_invalid` when its file is not the one that was hashed, or no masker; its calls throw `masker_stuck`.
 */
export function customMask(
  column: ColumnSpec,
  mask: CustomMask,
  keyring: Keyring,
  { folder, blockMs }: CustomPlace,
): ColumnMask {
  const file = path.resolve(folder, mask.file);
  const files = readCustomFiles(file);
  const isSame = 'files' in files && files.sha256 === mask.sha256;
  if (!isSame) {
    const why = 'wrong' in files ? files.wrong : 'has changed since the pipeline file was read: start again';
    throw new PipelineError('config_invalid', `column ${column.name}: the masker ${mask.file} ${why}`);
  }
  const { domain, export: name, options } = mask;
  const key = domain === undefined ? null : keyring.derive('hmac', domain, keyring.primaryKid);
  const thread = threadOf(file, mask.file, files);
  const { use, input } = thread.prepare({ column: column.name, export: name, options, key });
  const keep = keepMask({ ...column, mask: { method: 'keep' } });
  // A record's list is masked as a whole.
  const isWhole = isList(column);
  const limits = { timeoutMs: mask.timeoutMs, blockMs };
  return (values, normalized) => {
    const cells = nullCells(values);
    const { texts, at } = textsOf(input, values, cells, normalized);
    const distinct = [...new Set(texts)];
    if (distinct.length === 0) return cells;
    const results = thread.mask(use, distinct, isWhole || distinct.length === 1, limits);
    const stored = new Map<string, Cell>(distinct.map((text, k) => [text, cellOf(results[k] ?? null)]));
    for (const [k, i] of at.entries()) cells[i] = stored.get(texts[k] ?? '') ?? refuse('mask_failed');
    return cells;
  };

  function cellOf(result: string | null | false): Cell {
    if (result === null) return NULL_FIELD;
    if (result === false) return refuse('mask_failed');
    const [cell = refuse('mask_failed')] = keep([result], noneNormalized());
    // It is the masker's slip, not the sender's.
    return typeof cell === 'string' || cell.refused === 'too_long' ? cell : refuse('mask_failed');
  }
}

const unstorable = /[\0\p{Cs}]/u;

function textsOf(
  input: Input,
  values: readonly unknown[],
  cells: Cell[],
  normalized: Normalized,
): ReturnType<typeof acceptTexts> {
  if (input === 'canonical') return acceptTexts(values, false, cells, normalized);
  const accepted: { readonly texts: string[]; readonly at: number[] } = { texts: [], at: [] };
  const unchanged = noneNormalized();
  for (const [i, value] of values.entries()) {
    if (trimmedOf(value, i, cells, unchanged) === null || typeof value !== 'string') continue;
    if (unstorable.test(value)) cells[i] = refuse('bad_text');
    else {
      accepted.texts.push(value);
      accepted.at.push(i);
    }
  }
  normalized.empty_to_null += unchanged.empty_to_null;
  return accepted;
}
