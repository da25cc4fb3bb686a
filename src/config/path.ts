import type { FieldPath, PathStep } from '../masking/methods.js';

const NAME = /[^.[\]*]+/y;
const INDEX = /\[(0|[1-9][0-9]{0,5})\]/y;
const EACH = /\[\*\]/y;
const QUOTED = /\[("(?:[^"\\]|\\.)*")\]/y;

/**
 * A path into a body, or what is wrong with it as a text: a member, then `.member`, `[0]` for an element, `[*]` for each
 * element. `["a.b"]` is a member of whatever name, written as a JSON string.
 */
export function parsePath(text: string): FieldPath | string {
  const steps = stepsOf(text);
  if (typeof steps === 'string') return steps;
  const [first, ...rest] = steps;
  if (first === undefined || !('member' in first)) return 'must begin with the name of a field';
  return { name: first.member, steps: rest };
}

/**
 * A path in a table of which each row is an element of the list at `each` (null: each is a whole record): whether it is
 * one within the element.
 */
export function pathWithin(path: FieldPath, each: FieldPath | null): FieldPath {
  if (each === null || path.name !== each.name) return path;
  const isSame = each.steps.every((step, i) => JSON.stringify(step) === JSON.stringify(path.steps[i]));
  return isSame ? { ...path, within: each.steps.length } : path;
}

/** The list of which each element is a row, or what is wrong with the path that should name it. */
export function parseEach(text: string): FieldPath | string {
  const path = text.startsWith('$') ? 'must be a list in the body' : parsePath(text);
  if (typeof path === 'string') return path;
  const last = path.steps.at(-1);
  return last !== undefined && 'each' in last
    ? path
    : 'must end with "[*]", which stands for each element of a list: items[*]';
}

/**
 * A path from a JSON value to parts of it, or what is wrong with it: as `parsePath`, but it may begin with `[*]`, and holds
 * no single element.
 */
export function parseMemberPath(text: string): readonly PathStep[] | string {
  const steps = stepsOf(text);
  if (typeof steps === 'string') return steps;
  if (steps.length === 0) return 'is empty';
  return steps.some((step) => 'index' in step) ? 'names one element: name all of them, by "[*]"' : steps;
}

function stepsOf(text: string): readonly PathStep[] | string {
  const steps: PathStep[] = [];
  let at = 0;
  while (at < text.length) {
    const step = stepAt(text, at);
    if (step === null) return wrongAt(text, at);
    steps.push(step.step);
    at = step.end;
  }
  return steps;
}

interface Found {
  readonly step: PathStep;
  readonly end: number;
}

function stepAt(text: string, at: number): Found | null {
  const dot = at > 0 && text[at] === '.';
  if (at === 0 || dot) {
    const [name] = matchAt(NAME, text, dot ? at + 1 : at) ?? [];
    if (name !== undefined) return { step: { member: name }, end: (dot ? at + 1 : at) + name.length };
    if (dot) return null;
  }
  const [index, digits = ''] = matchAt(INDEX, text, at) ?? [];
  if (index !== undefined) return { step: { index: Number(digits) }, end: at + index.length };
  const [each] = matchAt(EACH, text, at) ?? [];
  if (each !== undefined) return { step: { each: true }, end: at + each.length };
  const [quoted, literal = ''] = matchAt(QUOTED, text, at) ?? [];
  const member = quoted === undefined ? null : unquoted(literal);
  return quoted === undefined || member === null ? null : { step: { member }, end: at + quoted.length };
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

function unquoted(literal: string): string | null {
  try {
    return String(JSON.parse(literal));
  } catch {
    return null;
  }
}

function wrongAt(text: string, at: number): string {
  const place = `at character ${at + 1}`;
  if (text[at] === '.') return `lacks a name behind the "." ${place}`;
  if (text[at] === '[')
    return `needs an index, "*" or a name in double quotes within the brackets ${place}: [0], [*], ["a.b"]`;
  return `cannot go on ${place}: members are separated by ".", and a name that holds ".", "[", "]" or "*" is written ["a.b"]`;
}
