import {
  type ColumnSource,
  type ColumnSpec,
  type ColumnType,
  type FieldPath,
  type MaskSpec,
} from '../masking/methods.js';
import { checkColumn } from './column-checks.js';
import type { ColumnInput } from './column-schema.js';
import { buildJsonMask, storesParts } from './json-columns.js';
import type { MaskSetting } from './masks.js';
import { parsePath, pathWithin } from './path.js';
import type { Findings, Path } from './problem.js';
import { didYouMean } from './suggestion.js';

// `create: true` gives a token column without a type of its own varchar(256).
const CREATED_TOKEN_LENGTH = 256;

const META_NAMES = [
  'message_id',
  'sent_at',
  'received_at',
  'loaded_at',
  'group_id',
  'sequence_number',
  'batch_id',
  'run_id',
  'mask_kid',
  'index',
] as const;

const ATTRIBUTE_PREFIX = '$attributes.';
const REST = '$rest';
const SOURCE_NAMES = [...META_NAMES.map((name) => `$${name}`), `${ATTRIBUTE_PREFIX}NAME`, REST];

// A constant is written wherever its source has a value: without a `from`, in every row.
const ALWAYS_PRESENT: ColumnSource = { kind: 'meta', name: 'message_id' };

// Postgres cuts longer identifiers off.
const LONGEST_IDENTIFIER_BYTES = 63;

/** What a column is to know of the file that it is in. */
export interface ColumnSetting extends MaskSetting {
  readonly at: Path;
  /** Whether maskline creates the table. */
  readonly created: boolean;
}

/** The column as the mask needs it, or null with everything that is wrong with it reported. */
export function buildColumn(
  name: string,
  input: ColumnInput,
  { at, created, folder, each }: ColumnSetting,
  findings: Findings,
): ColumnSpec | null {
  const nameWrong = identifierProblem(name);
  if (nameWrong !== null) findings.error(at, nameWrong);
  const source = sourceOf(input, each, at, findings);
  if (source === null) return null;
  const under = { input, name, source, at, folder, each, findings };
  const mask = storesParts(input) ? buildJsonMask(under) : checkColumn(under);
  if (mask === null || nameWrong !== null) return null;
  const createdLength = created && isSized(mask) && !input.type ? CREATED_TOKEN_LENGTH : null;
  return {
    name,
    path: input.from ?? name,
    source,
    type: input.type ?? defaultType(source, mask),
    maxLength: input.max_length ?? createdLength,
    required: input.required,
    mask,
    ...(input.sentinels === undefined ? {} : { sentinels: input.sentinels }),
  };
}

/** What is wrong with a name that Postgres is to know as it is written, or null. */
export function identifierProblem(name: string): string | null {
  if (Buffer.byteLength(name) > LONGEST_IDENTIFIER_BYTES) {
    return `a name in Postgres has at most ${LONGEST_IDENTIFIER_BYTES} bytes`;
  }
  return /^[\p{L}_][^\p{C}"]*$/u.test(name)
    ? null
    : 'a name must begin with a letter or "_" and hold no quotes or control characters';
}

function sourceOf(
  input: ColumnInput,
  each: FieldPath | null,
  at: Path,
  findings: Findings,
): ColumnSource | null {
  const from = input.from;
  const wrong = (message: string): null => {
    findings.error([...at, 'from'], message);
    return null;
  };
  if (from === undefined) {
    const method = input.mask?.method;
    if (method === 'constant' || method === 'null') return ALWAYS_PRESENT;
    return wrong('required: the field that the value comes from, or one of the sources that begin with "$"');
  }
  if (from.startsWith(ATTRIBUTE_PREFIX) && from.length > ATTRIBUTE_PREFIX.length) {
    return { kind: 'attribute', name: from.slice(ATTRIBUTE_PREFIX.length) };
  }
  if (from.startsWith('$')) {
    if (from === REST) return { kind: 'rest' };
    const meta = META_NAMES.find((known) => `$${known}` === from);
    if (meta === 'index' && each === null)
      return wrong('is the number of an element in its list: it needs `from_each`, which names the list');
    if (meta !== undefined) return { kind: 'meta', name: meta };
    return wrong(
      `no such source${didYouMean(from, SOURCE_NAMES)}; it must be a field or one of ${SOURCE_NAMES.join(', ')}`,
    );
  }
  const path = parsePath(from);
  if (typeof path === 'string') return wrong(path);
  return path.steps.length === 0
    ? { kind: 'field', name: path.name }
    : { kind: 'path', ...pathWithin(path, each) };
}

/** Whether what the mask makes has a length that a column of 256 characters was chosen for. */
function isSized({ method }: MaskSpec): boolean {
  return method === 'siv' || method === 'hmac' || method === 'vault' || method === 'partial';
}

function isNumber(source: ColumnSource): boolean {
  return source.kind === 'meta' && (source.name === 'mask_kid' || source.name === 'index');
}

function defaultType(source: ColumnSource, mask: MaskSpec): ColumnType {
  switch (mask.method) {
    case 'keep':
      if (source.kind === 'meta' && source.name.endsWith('_at')) return 'timestamptz';
      return isNumber(source) ? 'integer' : 'text';
    case 'ip-truncate':
    case 'ipcrypt-det':
    case 'ipcrypt-pfx':
      return 'inet';
    case 'json':
      return 'jsonb';
    case 'generalize':
      return 'to' in mask && mask.to === 'ip_version' ? 'integer' : 'text';
    default:
      return 'text';
  }
}
