// Values at a path of a body, and the JSON text that they were sent as.

import type { Fields } from './body.js';
import { elementTexts, exactText, mayLoseDigits, memberText, valueSource } from './json-source.js';
import type { FieldPath, PathStep } from './methods.js';

/** In place of a value: on the way to it, something is neither null nor what the path needs there. */
export const wrongShape: unique symbol = Symbol('wrong shape');

/**
 * The value at a path, undefined or null when there is none; `wrongShape` when a member is looked for in something
 * that is no object, or an element in something that is no array. With `each`, an array of the value in each element;
 * where elements hold arrays that are taken apart too, it is one array of them all.
 */
export function valueAtPath(fields: Fields, { name, steps }: FieldPath): unknown {
  const first = Object.hasOwn(fields, name) ? fields[name] : undefined;
  return valueFrom(first, steps);
}

function valueFrom(start: unknown, steps: readonly PathStep[]): unknown {
  const each = steps.findIndex((step) => 'each' in step);
  if (each === -1) return walk(start, steps);
  const list = walk(start, steps.slice(0, each));
  if (list === undefined || list === null || list === wrongShape) return list;
  if (!Array.isArray(list)) return wrongShape;
  const rest = steps.slice(each + 1);
  const isNested = rest.some((step) => 'each' in step);
  const items = list.flatMap((item: unknown): unknown[] => {
    const value = valueFrom(item, rest) ?? null;
    // An array within is taken apart too; one that is not there has no elements.
    if (!isNested || value === wrongShape) return [value];
    return Array.isArray(value) ? value : [];
  });
  return items.includes(wrongShape) ? wrongShape : items;
}

/** The value that steps lead to from another, as `valueAtPath` has it. */
export function valueAtSteps(start: unknown, steps: readonly PathStep[]): unknown {
  return valueFrom(start, steps);
}

/** JSON text of that value, `text` being the JSON text that the steps begin at; they hold no `each`. */
export function sourceAtSteps(text: string, steps: readonly PathStep[], value: unknown): string {
  return valueSource(text, value, (whole) => textAt(whole, steps));
}

/** JSON text of each of those values, where the steps hold an `each`. */
export function sourcesAtSteps(
  text: string,
  steps: readonly PathStep[],
  items: readonly unknown[],
): string[] {
  return exactTexts(text, items, () => textsFrom(text, steps));
}

/** What looks at the whole text is done once, not for each of its items. */
function exactTexts(
  text: string,
  items: readonly unknown[],
  find: () => readonly (string | null)[],
): string[] {
  if (!mayLoseDigits(text)) return items.map((item) => JSON.stringify(item));
  const texts = find();
  return items.map((item, i) => exactText(texts[i] ?? null, item));
}

/** JSON text of each element that a path with `each` leads to, as it was sent. */
export function elementsAt(body: string, { name, steps }: FieldPath): readonly (string | null)[] {
  return textsFrom(memberText(body, name), steps);
}

/** JSON text of the value at a path without `each`, digits as they came. */
export function sourceAt(body: string, path: FieldPath, value: unknown): string {
  return valueSource(body, value, (text) => textAt(memberText(text, path.name), path.steps));
}

/** JSON text of each value at a path with `each`, digits as they came; of null, any text. */
export function listSources(body: string, { name, steps }: FieldPath, items: readonly unknown[]): string[] {
  return exactTexts(body, items, () => textsFrom(memberText(body, name), steps));
}

function textsFrom(start: string | null, steps: readonly PathStep[]): readonly (string | null)[] {
  const each = steps.findIndex((step) => 'each' in step);
  if (each === -1) return [textAt(start, steps)];
  const list = textAt(start, steps.slice(0, each));
  if (list === null || !list.startsWith('[')) return [];
  return elementTexts(list).flatMap((text) => textsFrom(text, steps.slice(each + 1)));
}

function walk(start: unknown, steps: readonly PathStep[]): unknown {
  let value = start;
  for (const step of steps) {
    if (value === undefined || value === null) return value;
    if ('member' in step) {
      if (!isObject(value)) return wrongShape;
      value = Object.hasOwn(value, step.member) ? value[step.member] : undefined;
    } else if ('index' in step) {
      if (!Array.isArray(value)) return wrongShape;
      const items: readonly unknown[] = value;
      value = items[step.index];
    }
  }
  return value;
}

function textAt(start: string | null, steps: readonly PathStep[]): string | null {
  let text = start;
  for (const step of steps) {
    if (text === null) return null;
    if ('member' in step) text = memberText(text, step.member);
    else if ('index' in step) text = elementTexts(text)[step.index] ?? null;
  }
  return text;
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
