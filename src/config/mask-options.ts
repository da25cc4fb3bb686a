import type { MaskInput, MaskMethod } from './mask-schema.js';
import type { Path } from './problem.js';

/** Takes what is wrong with a column, at a key below it. */
export type Wrong = (key: Path, message: string) => void;

const KEYED: readonly MaskMethod[] = [
  'siv',
  'hmac',
  'vault',
  'ff1',
  'ipcrypt-det',
  'ipcrypt-pfx',
  'date-shift',
];
const TOKENS: readonly MaskMethod[] = ['siv', 'hmac', 'vault'];

// Which masks each option belongs to.
const OPTIONS: Readonly<{ [option in Exclude<keyof MaskInput, 'method'>]: readonly MaskMethod[] }> = {
  domain: [...KEYED, 'custom'],
  as: TOKENS,
  pad: TOKENS,
  lower: [...TOKENS, 'generalize'],
  subject: ['vault'],
  value: ['constant'],
  v4: ['ip-truncate'],
  v6: ['ip-truncate'],
  kind: ['partial'],
  show: ['partial'],
  pattern: ['partial'],
  replace: ['partial'],
  template: ['ff1'],
  alphabet: ['ff1'],
  entity: ['date-shift'],
  days: ['date-shift'],
  edges: ['bucket'],
  width: ['bucket'],
  to: ['generalize'],
  map: ['generalize'],
  other: ['generalize'],
  file: ['custom'],
  export: ['custom'],
  options: ['custom'],
  timeout: ['custom'],
};

const REQUIRED: Readonly<{ [method in MaskMethod]?: readonly (keyof MaskInput)[] }> = {
  constant: ['value'],
  partial: ['kind'],
  ff1: ['template'],
  'date-shift': ['entity', 'days'],
  custom: ['file'],
};

/** Reports options of other masks, missing ones, and those that contradict each other. */
export function checkMaskOptions(mask: MaskInput, wrong: Wrong): void {
  for (const [option, methods] of Object.entries(OPTIONS)) {
    if (isGiven(mask, option) && !methods.includes(mask.method))
      wrong(['mask', option], `is not an option of the mask ${mask.method}`);
  }
  for (const option of REQUIRED[mask.method] ?? []) {
    if (mask[option] === undefined) wrong(['mask', option], `required by the mask ${mask.method}`);
  }
  checkTokenOptions(mask, wrong);
  if (mask.method === 'partial') checkKind(mask, wrong);
  if (mask.method === 'bucket') checkEither(mask, 'edges', 'width', wrong);
  if (mask.method === 'generalize') {
    checkEither(mask, 'to', 'map', wrong);
    for (const option of ['other', 'lower'] as const) {
      if (mask[option] !== undefined && mask.map === undefined)
        wrong(['mask', option], 'belongs to `map`, which is not given');
    }
  }
}

function isGiven(mask: MaskInput, option: string): boolean {
  return Object.entries(mask).some(([name, value]) => name === option && value !== undefined);
}

function checkTokenOptions(mask: MaskInput, wrong: Wrong): void {
  if (mask.as !== 'ip') return;
  if (mask.pad !== undefined)
    wrong(['mask', 'pad'], 'contradicts `as: ip`: the tokens of addresses all have one length already');
  if (mask.lower === true)
    wrong(['mask', 'lower'], 'contradicts `as: ip`: the spelling of an address does not matter already');
}

function checkKind(mask: MaskInput, wrong: Wrong): void {
  if (mask.kind === undefined) return;
  if (mask.show !== undefined && mask.kind !== 'phone')
    wrong(['mask', 'show'], `is not an option of \`kind: ${mask.kind}\``);
  for (const option of ['pattern', 'replace'] as const) {
    if (mask[option] !== undefined && mask.kind !== 'pattern')
      wrong(['mask', option], `is not an option of \`kind: ${mask.kind}\``);
    if (mask[option] === undefined && mask.kind === 'pattern')
      wrong(['mask', option], 'required by `kind: pattern`');
  }
}

function checkEither(mask: MaskInput, one: 'edges' | 'to', other: 'width' | 'map', wrong: Wrong): void {
  if (mask[one] === undefined && mask[other] === undefined)
    wrong(['mask', one], `required by the mask ${mask.method}, or else \`${other}\``);
  if (mask[one] !== undefined && mask[other] !== undefined)
    wrong(['mask', other], `contradicts \`${one}\`: give one of them`);
}
