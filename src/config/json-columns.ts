// Columns that store parts of a JSON value: `keep` and `masks`, and what `$rest` is.

import {
  type ColumnSource,
  type JsonMask,
  type JsonMember,
  type MaskSpec,
  isList,
} from '../masking/methods.js';
import { isWithin } from '../masking/path-tree.js';
import type { ColumnUnderCheck } from './column-checks.js';
import type { ColumnInput } from './column-schema.js';
import { type Wrong, checkMaskOptions } from './mask-options.js';
import type { MaskInput, MaskMethod } from './mask-schema.js';
import { buildMask } from './masks.js';
import { parseMemberPath } from './path.js';
import { looksPersonal } from './personal-names.js';
import type { Path } from './problem.js';

// The word of `keep` for every member there is.
const EVERYTHING = 'everything';

// The others need a type, a key id beside them, or a thread to themselves: a column.
const MEMBER_METHODS: readonly MaskMethod[] = [
  'siv',
  'hmac',
  'vault',
  'ip-truncate',
  'partial',
  'bucket',
  'generalize',
  'constant',
  'null',
  'drop',
  'keep',
];

/** Whether a column stores parts of a JSON value. */
export function storesParts({ from, keep, masks }: ColumnInput): boolean {
  return from === '$rest' || keep !== undefined || masks !== undefined;
}

/** The mask of such a column; null when it contradicts itself, which is reported, as is what is doubtful. */
export function buildJsonMask(column: ColumnUnderCheck): JsonMask | null {
  const { input, source, at, findings } = column;
  let isSound = true;
  const wrong: Wrong = (key, message) => {
    findings.error([...at, ...key], message);
    isSound = false;
  };
  checkColumn(input, source, wrong);
  const kept = typeof input.keep === 'object' ? input.keep : [];
  const members = [
    ...kept.map((path) => memberOf(column, path, { method: 'keep' }, ['keep'], wrong)),
    ...Object.entries(input.masks ?? {}).map(([path, mask]) =>
      maskedMember(column, path, mask, (key, message) => wrong(['masks', path, ...key], message)),
    ),
  ].filter((member) => member !== null);
  checkNesting(members, (member, message) =>
    wrong(kept.includes(member.at) ? ['keep'] : ['masks', member.at], message),
  );
  if (!isSound) return null;
  warnOfKept(column, kept);
  const sorted = members.toSorted((a, b) => (a.at < b.at ? -1 : 1));
  return { method: 'json', others: input.keep === EVERYTHING ? 'keep' : 'drop', members: sorted, taken: [] };
}

function checkColumn(
  { from, type, mask, keep, masks, ...input }: ColumnInput,
  source: ColumnSource,
  wrong: Wrong,
): void {
  const isPlace = source.kind === 'field' || source.kind === 'path';
  const isMany = isList({ source });
  const key = keep === undefined ? 'masks' : 'keep';
  if (isMany)
    wrong(
      ['from'],
      'names each element, and parts of them are named too: name the array, and begin their paths with "[*]"',
    );
  else if (!isPlace && source.kind !== 'rest')
    wrong([key], `is for JSON values, and ${from ?? 'this'} is none`);
  if (keep === undefined && masks === undefined)
    wrong(
      ['from'],
      'needs `keep` and `masks`, which say what of the rest is stored: `keep: [a, b.c]`, or `keep: everything`, which stores what nobody has named in clear',
    );
  if (mask !== undefined)
    wrong(['mask'], 'contradicts `keep` and `masks`, which say how each part is masked');
  if (type !== undefined && type !== 'jsonb')
    wrong(['type'], 'must be jsonb, where parts of a JSON value are stored');
  for (const option of ['max_length', 'sentinels'] as const)
    if (input[option] !== undefined) wrong([option], 'is not for jsonb');
}

function maskedMember(
  column: ColumnUnderCheck,
  path: string,
  mask: MaskInput,
  wrong: Wrong,
): JsonMember | null {
  const say: Wrong = ([, ...key], message) => wrong(key, message);
  const isDate = mask.method === 'generalize' && mask.to !== undefined && mask.to !== 'ip_version';
  if (isDate || !MEMBER_METHODS.includes(mask.method)) {
    const what = isDate ? 'generalize of dates' : mask.method;
    wrong(['method'], `${what} is not for parts of a JSON value: give this one a column of its own`);
    return null;
  }
  checkMaskOptions(mask, say);
  const from = pathFrom(column, path);
  const built = buildMask({ mask, from, required: false }, path, column, say);
  return built === null || built.method === 'json' ? null : memberOf(column, path, built, [], wrong);
}

function memberOf(
  column: ColumnUnderCheck,
  at: string,
  mask: Exclude<MaskSpec, JsonMask>,
  key: Path,
  wrong: Wrong,
): JsonMember | null {
  const steps = parseMemberPath(at);
  const problem =
    typeof steps === 'string'
      ? steps
      : column.source.kind === 'rest' && steps[0] && !('member' in steps[0])
        ? 'must begin with the name of a field'
        : null;
  if (problem === null && typeof steps !== 'string') return { at, path: pathFrom(column, at), steps, mask };
  wrong(key, `${JSON.stringify(at)} ${problem ?? ''}`);
  return null;
}

/** The part's place in the body, as a column's `from` would name it. */
function pathFrom({ input: { from = '' }, source }: ColumnUnderCheck, at: string): string {
  if (source.kind === 'rest') return at;
  return at.startsWith('[') ? from + at : `${from}.${at}`;
}

/** Only what is kept may have parts within it that are stored otherwise. */
function checkNesting(
  members: readonly JsonMember[],
  wrong: (member: JsonMember, message: string) => void,
): void {
  for (const [i, member] of members.entries()) {
    const others = members.filter((_, k) => k !== i);
    const twin = others.find(({ steps }) => isWithin(steps, member.steps) && isWithin(member.steps, steps));
    if (twin) wrong(member, `${member.at} is named twice`);
    const outer = others.find(
      ({ steps, mask }) =>
        mask.method !== 'keep' && isWithin(member.steps, steps) && !isWithin(steps, member.steps),
    );
    if (outer) wrong(member, `${member.at} lies within ${outer.at}, which is not kept`);
  }
}

function warnOfKept({ at, input, findings }: ColumnUnderCheck, kept: readonly string[]): void {
  if (input.keep === EVERYTHING)
    findings.warn(
      [...at, 'keep'],
      'stores every member that senders send, and will send, in clear; name those that are needed',
    );
  for (const path of kept) {
    const steps = parseMemberPath(path);
    const names =
      typeof steps === 'string' ? [] : steps.flatMap((step) => ('member' in step ? [step.member] : []));
    if (looksPersonal(names.at(-1) ?? ''))
      findings.warn(
        [...at, 'keep'],
        `${path} is kept unmasked, though it is named like personal data; mask it, or say so under \`masks\`: \`${path}: { method: keep }\``,
      );
  }
}
