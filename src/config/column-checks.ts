import type { ColumnSource, ColumnType, MaskSpec } from '../masking/methods.js';
import type { ColumnInput } from './column-schema.js';
import { constantProblem } from './constant.js';
import { looksPersonal } from './personal-names.js';
import type { Findings, Path } from './problem.js';
import { reportTokenLength } from './token-length.js';

/** A column as written, where it stands, and where its value comes from. */
export interface ColumnUnderCheck {
  readonly input: ColumnInput;
  readonly source: ColumnSource;
  /** As it will be applied, with its defaults. */
  readonly mask: MaskSpec;
  readonly at: Path;
  readonly findings: Findings;
}

// Which types a value that is no field of the body can have.
const UUID_LIKE: readonly ColumnType[] = ['text', 'uuid'];
const TIME_LIKE: readonly ColumnType[] = ['timestamptz', 'date', 'text'];
const META_TYPES = {
  message_id: UUID_LIKE,
  batch_id: UUID_LIKE,
  run_id: UUID_LIKE,
  sent_at: TIME_LIKE,
  received_at: TIME_LIKE,
  // Postgres itself supplies it when it reads the word for now, which as text would stay that word.
  loaded_at: ['timestamptz', 'date'],
  group_id: ['text'],
  // Twenty digits: more than a bigint holds.
  sequence_number: ['text', 'numeric'],
} as const satisfies Readonly<{ [name: string]: readonly ColumnType[] }>;

// Attributes are text, and these types are read from JSON values only.
const NOT_FROM_ATTRIBUTES: readonly ColumnType[] = ['boolean', 'jsonb'];

const MASK_OPTIONS = ['domain', 'as', 'pad', 'lower', 'value'] as const;
const OPTIONS_OF_TOKENS: readonly string[] = ['domain', 'as', 'pad', 'lower'];

type Wrong = (key: Path, message: string) => void;

/** Reports what contradicts itself in one column, and what is doubtful. False when anything was wrong. */
export function checkColumn(column: ColumnUnderCheck): boolean {
  let sound = true;
  const wrong: Wrong = (key, message) => {
    sound = false;
    column.findings.error([...column.at, ...key], message);
  };
  checkMaskOptions(column.input, wrong);
  checkSourceType(column, wrong);
  checkMaskAgainstColumn(column.input, wrong);
  if (!sound) return false;
  checkLengths(column, wrong);
  if (sound) warnOfDoubts(column);
  return sound;
}

function checkMaskOptions({ mask }: ColumnInput, wrong: Wrong): void {
  if (mask === undefined) return;
  const isToken = mask.method === 'siv' || mask.method === 'hmac';
  for (const option of MASK_OPTIONS) {
    const fits = OPTIONS_OF_TOKENS.includes(option) ? isToken : mask.method === 'constant';
    if (mask[option] !== undefined && !fits)
      wrong(['mask', option], `is not an option of the mask ${mask.method}`);
  }
  if (mask.method === 'constant' && mask.value === undefined)
    wrong(['mask', 'value'], 'required by the mask constant');
  if (mask.as === 'ip' && mask.pad !== undefined) {
    wrong(['mask', 'pad'], 'contradicts `as: ip`: the tokens of addresses all have one length already');
  }
  if (mask.as === 'ip' && mask.lower === true) {
    wrong(['mask', 'lower'], 'contradicts `as: ip`: the spelling of an address does not matter already');
  }
}

function checkSourceType({ input, source, mask }: ColumnUnderCheck, wrong: Wrong): void {
  const isToken = mask.method === 'siv' || mask.method === 'hmac';
  // Other masks store nothing of the source.
  if (!isToken && mask.method !== 'keep') return;
  if (source.kind === 'attribute' && input.type !== undefined && NOT_FROM_ATTRIBUTES.includes(input.type)) {
    wrong(['type'], `${input.type} cannot be read from a message attribute, which is text`);
  }
  if (source.kind !== 'meta') return;
  const types: readonly ColumnType[] = META_TYPES[source.name];
  if (isToken && source.name.endsWith('_at')) {
    wrong(
      ['mask', 'method'],
      `$${source.name} is a time, which cannot be masked as a token; keep it or drop it`,
    );
  } else if (isToken && mask.as === 'ip') {
    wrong(['mask', 'as'], `$${source.name} is never an IP address`);
  } else if (input.type !== undefined && !types.includes(input.type)) {
    wrong(['type'], `$${source.name} can be ${types.join(' or ')}, not ${input.type}`);
  }
}

function checkMaskAgainstColumn(
  { type, mask, max_length: maxLength, required }: ColumnInput,
  wrong: Wrong,
): void {
  const method = mask?.method ?? 'keep';
  if ((method === 'siv' || method === 'hmac') && type !== undefined && type !== 'text') {
    wrong(['type'], `contradicts the mask ${method}, whose tokens are text`);
  }
  if (required && (method === 'null' || method === 'drop')) {
    wrong(['required'], `contradicts the mask ${method}, which stores no value`);
  }
  if (method === 'drop') {
    if (type !== undefined) wrong(['type'], 'contradicts the mask drop: there is no column to give a type');
    if (maxLength !== undefined)
      wrong(['max_length'], 'contradicts the mask drop: there is no column to limit');
  } else if (maxLength !== undefined && type !== undefined && type !== 'text') {
    wrong(['max_length'], `is for text, not for ${type}`);
  }
}

function checkLengths({ input, source, mask, at, findings }: ColumnUnderCheck, wrong: Wrong): void {
  const { type, max_length: maxLength } = input;
  if (mask.method === 'constant') {
    const problem = constantProblem(mask.value, type ?? 'text', maxLength ?? null);
    if (problem !== null) wrong(['mask', 'value'], problem);
  }
  if (maxLength === undefined) return;
  if (mask.method === 'siv' || mask.method === 'hmac') {
    reportTokenLength(mask, maxLength, {
      wrong: (message) => wrong(['max_length'], message),
      doubtful: (message) => findings.warn([...at, 'max_length'], message),
    });
  }
  if (mask.method === 'keep' && type === undefined && source.kind === 'meta' && source.name.endsWith('_at')) {
    wrong(['max_length'], `is for text, and $${source.name} is a timestamptz unless its type says otherwise`);
  }
}

function warnOfDoubts({ input, source, mask, at, findings }: ColumnUnderCheck): void {
  if (input.mask === undefined && source.kind !== 'meta' && looksPersonal(source.name)) {
    findings.warn(
      at,
      'kept unmasked, though its source is named like personal data; give it a mask, or say `mask: { method: keep }`',
    );
  }
  if (input.type === 'version_int' && mask.method === 'keep') {
    findings.warn(
      [...at, 'type'],
      'version_int is lossy: 2.0 and 2.00 become one number, and anything after a third part is refused',
    );
  }
}
