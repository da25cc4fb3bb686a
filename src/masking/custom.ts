import path from 'node:path';

import { NULL_FIELD } from '../copy-text.js';
import { PipelineError } from '../errors.js';
import { acceptTexts, nullCells, trimmedOf } from './accepted.js';
import { readCustomFiles } from './custom-files.js';
import { type Input, type Answered, threadOf } from './custom-thread.js';
import type { Keyring } from './keyring.js';
import { type ColumnSpec, type CustomMask, isList } from './methods.js';
import { type Cell, type ColumnMask, type Normalized, noneNormalized, refuse } from './refusal.js';
import { keepMask } from './values.js';

/** What a masker failed with, for who has to mend it: no value, and nothing that it said. */
export interface CustomFailure {
  readonly column: string;
  readonly file: string;
  /** Different values of one call; null: it gave no answer at all to them. */
  readonly values: number | null;
  /** Where it threw first, as `file:line:column`, if it threw and that can be told. */
  readonly at: string | null;
}

/** How maskers may hold up the process, and who hears of their failures. */
export interface CustomSettings {
  /** For how long all of them together may keep the event loop from turning, in ms; default 5,000. */
  readonly blockMs?: number;
  /** Hears of each call of a masker with which it failed. */
  readonly onFailure?: (failure: CustomFailure) => void;
}

/** The same, and where their files are. */
export interface CustomPlace extends CustomSettings {
  /** The folder that their files are named from. */
  readonly folder: string;
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
  { folder, blockMs, onFailure = () => undefined }: CustomPlace,
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
    const { results, place } = ask(distinct);
    const stored = new Map<string, Cell>(distinct.map((text, k) => [text, cellOf(results[k] ?? null)]));
    const failures = [...stored.values()].filter(isFailure).length;
    if (failures > 0)
      onFailure({
        column: column.name,
        file: mask.file,
        values: failures,
        at: place === null ? null : `${place.name}:${place.line}:${place.column}`,
      });
    for (const [k, i] of at.entries()) cells[i] = stored.get(texts[k] ?? '') ?? refuse('mask_failed');
    return cells;
  };

  function ask(texts: readonly string[]): Answered {
    const areBlamed = isWhole || texts.length === 1;
    try {
      return thread.mask(use, texts, areBlamed, limits);
    } catch (error) {
      if (areBlamed && !(error instanceof PipelineError))
        onFailure({ column: column.name, file: mask.file, values: null, at: null });
      throw error;
    }
  }

  function cellOf(result: string | null | false): Cell {
    if (result === null) return NULL_FIELD;
    if (result === false) return refuse('mask_failed');
    const [cell = refuse('mask_failed')] = keep([result], noneNormalized());
    // It is the masker's slip, not the sender's.
    return typeof cell === 'string' || cell.refused === 'too_long' ? cell : refuse('mask_failed');
  }
}

function isFailure(cell: Cell): boolean {
  return typeof cell !== 'string' && cell.refused === 'mask_failed';
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
