import { canonicalText, trimAscii } from '../masking/canonical.js';
import { type ColumnSource, type ColumnType, type MaskSpec, isList } from '../masking/methods.js';
import type { ColumnInput } from './column-schema.js';
import { constantProblem } from './constant.js';
import { reportTemplateLength } from './ff1-template.js';
import { type Wrong, checkMaskOptions } from './mask-options.js';
import type { MaskMethod } from './mask-schema.js';
import { type MaskSetting, buildMask } from './masks.js';
import { typeProblem } from './mask-types.js';
import { looksPersonal } from './personal-names.js';
import type { Findings, Path } from './problem.js';
import { reportTokenLength } from './token-length.js';

/** A column as written, its name and where it stands, and where its value comes from. */
export interface ColumnUnderCheck extends MaskSetting {
  readonly input: ColumnInput;
  readonly name: string;
  readonly source: ColumnSource;
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
  mask_kid: ['integer', 'bigint'],
  index: ['integer', 'bigint'],
} as const satisfies Readonly<{ [name: string]: readonly ColumnType[] }>;

// Attributes are text, and these types are read from JSON values only.
const NOT_FROM_ATTRIBUTES: readonly ColumnType[] = ['boolean', 'jsonb'];

// Masks that leave nothing of the value.
const NOTHING_STORED: readonly MaskMethod[] = ['null', 'drop', 'constant'];

/** The mask of a column; null when the column contradicts itself, which is reported, as is what is doubtful. */
export function checkColumn(column: ColumnUnderCheck): MaskSpec | null {
  let sound = true;
  const wrong: Wrong = (key, message) => {
    sound = false;
    column.findings.error([...column.at, ...key], message);
  };
  if (column.input.mask) checkMaskOptions(column.input.mask, wrong);
  checkSource(column, wrong);
  checkMaskAgainstColumn(column, wrong);
  checkSentinels(column, wrong);
  const mask = buildMask(column.input, column.name, column, wrong);
  if (!sound || mask === null) return null;
  checkLengths(column, mask, wrong);
  if (sound) warnOfDoubts(column);
  return sound ? mask : null;
}

function checkSource({ input, source }: ColumnUnderCheck, wrong: Wrong): void {
  const method = input.mask?.method ?? 'keep';
  // These masks store nothing of the source.
  if (NOTHING_STORED.includes(method)) return;
  if (
    source.kind === 'attribute' &&
    method === 'keep' &&
    input.type !== undefined &&
    NOT_FROM_ATTRIBUTES.includes(input.type)
  ) {
    wrong(['type'], `${input.type} cannot be read from a message attribute, which is text`);
  }
  if (source.kind !== 'meta') return;
  const types: readonly ColumnType[] = META_TYPES[source.name];
  const isToken = method === 'siv' || method === 'hmac' || method === 'vault';
  if (isToken && source.name.endsWith('_at')) {
    wrong(
      ['mask', 'method'],
      `$${source.name} is a time, which cannot be masked as a token; keep it or drop it`,
    );
  } else if (method !== 'keep' && (!isToken || source.name === 'mask_kid' || source.name === 'index')) {
    const which = source.name === 'mask_kid' ? 'is a key id' : 'comes from no sender';
    wrong(['mask', 'method'], `$${source.name} ${which}: the mask ${method} is not for it; keep it`);
  } else if (isToken && input.mask?.as === 'ip') {
    wrong(['mask', 'as'], `$${source.name} is never an IP address`);
  } else if (input.type !== undefined && !types.includes(input.type)) {
    wrong(['type'], `$${source.name} can be ${types.join(' or ')}, not ${input.type}`);
  }
}

function checkMaskAgainstColumn({ input, source, each }: ColumnUnderCheck, wrong: Wrong): void {
  const { type, mask, max_length: maxLength, required } = input;
  const method = mask?.method ?? 'keep';
  const problem = typeProblem(input, isList({ source }));
  const isOther = each !== null && isList({ source }) && problem?.key[0] === 'type';
  if (isOther)
    wrong(
      ['from'],
      'is of another list than `from_each`: begin it as that does, or store the whole list, with type jsonb or text[]',
    );
  else if (problem !== null) wrong(problem.key, problem.message);
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

function checkSentinels({ input, source }: ColumnUnderCheck, wrong: Wrong): void {
  const { sentinels, type, mask } = input;
  if (sentinels === undefined) return;
  const method = mask?.method ?? 'keep';
  const say = (message: string): void => wrong(['sentinels'], message);
  if (source.kind === 'meta') say(`${input.from ?? ''} has a value in every row that means what it says`);
  else if (method === 'null' || method === 'drop')
    say(`contradicts the mask ${method}, which stores no value`);
  else if (method === 'keep' && (type === 'boolean' || type === 'jsonb')) say(`is not for ${type}`);
  else if (sentinels.some((text) => (canonicalText(trimAscii(text), false) ?? '') === ''))
    say('must not hold an empty value, which is NULL anyway, or control characters');
}

function checkLengths({ input, source, at, findings }: ColumnUnderCheck, mask: MaskSpec, wrong: Wrong): void {
  const { type, max_length: maxLength } = input;
  if (mask.method === 'constant') {
    const problem = constantProblem(mask.value, type ?? 'text', maxLength ?? null);
    if (problem !== null) wrong(['mask', 'value'], problem);
  }
  if (maxLength === undefined) return;
  const verdict = {
    wrong: (message: string) => wrong(['max_length'], message),
    doubtful: (message: string) => findings.warn([...at, 'max_length'], message),
  };
  if (mask.method === 'siv' || mask.method === 'hmac' || mask.method === 'vault')
    reportTokenLength(mask, maxLength, verdict);
  if (mask.method === 'ff1') reportTemplateLength(mask.template, maxLength, verdict);
  if (type !== undefined) return;
  if (mask.method === 'keep' && source.kind === 'meta' && source.name.endsWith('_at')) {
    wrong(['max_length'], `is for text, and $${source.name} is a timestamptz unless its type says otherwise`);
  }
  const isAddress = mask.method.startsWith('ipcrypt') || mask.method === 'ip-truncate';
  const isVersion = mask.method === 'generalize' && 'to' in mask && mask.to === 'ip_version';
  if (isAddress || isVersion)
    wrong(
      ['max_length'],
      `is for text; the mask ${mask.method} makes something else unless \`type: text\` is given`,
    );
}

function warnOfDoubts({ input, source, at, findings }: ColumnUnderCheck): void {
  const isKept = (input.mask?.method ?? 'keep') === 'keep';
  if (input.mask === undefined && source.kind !== 'meta' && looksPersonal(lastName(source))) {
    findings.warn(
      at,
      'kept unmasked, though its source is named like personal data; give it a mask, or say `mask: { method: keep }`',
    );
  }
  if (input.type === 'version_int' && isKept) {
    findings.warn(
      [...at, 'type'],
      'version_int is lossy: 2.0 and 2.00 become one number, and anything after a third part is refused',
    );
  }
}

/** What the value itself is called: the last name on the way to it. */
function lastName(source: ColumnSource): string {
  if (source.kind === 'rest') return '';
  if (source.kind !== 'path') return source.name;
  return source.steps.reduce((name, step) => ('member' in step ? step.member : name), source.name);
}
