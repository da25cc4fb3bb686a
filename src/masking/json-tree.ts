// JSON values of which parts are replaced, and numbers that keep their digits.

import { endOfString, keyText } from './json-source.js';
import type { PathStep } from './methods.js';

/** In place of a value: the JSON text that is written for it. */
export class JsonText {
  json: string;

  constructor(json: string) {
    this.json = json;
  }
}

/** An object that takes members of any name: it has no prototype that `__proto__` could set. */
export interface JsonObject {
  [name: string]: unknown;
}

/** An object without members. */
export function emptyObject(): JsonObject {
  return { __proto__: null };
}

/** Whether a value is an object of JSON, and so neither an array nor a text in place of a value. */
export function isJsonObject(value: unknown): value is Readonly<JsonObject> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof JsonText);
}

const mark = /[\s,:]*([[\]{}"]|-?[0-9][0-9.eE+-]*|true|false|null)/y;
const words: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['true', true],
  ['false', false],
  ['null', null],
]);

/** What JSON.parse makes of valid JSON, but for numbers: they are the texts that were sent. Nesting is recursion. */
export function readExact(json: string): unknown {
  let at = 0;
  const next = (): string => {
    mark.lastIndex = at;
    const found = mark.exec(json)?.[1] ?? '';
    at = found === '' ? json.length : mark.lastIndex;
    return found;
  };
  const text = (): string => {
    const start = at - 1;
    at = endOfString(json, start);
    return String(keyText(json.slice(start, at)));
  };
  const value = (begin: string): unknown => {
    if (begin === '"') return text();
    if (begin === '{') {
      const object = emptyObject();
      while (next() === '"') {
        const name = text();
        object[name] = value(next());
      }
      return object;
    }
    if (begin === '[') {
      const items: unknown[] = [];
      for (let item = next(); item !== ']' && item !== ''; item = next()) items.push(value(item));
      return items;
    }
    return words.has(begin) ? words.get(begin) : new JsonText(begin);
  };
  return value(next());
}

/** The JSON text of a value. */
export function writeJson(value: unknown): string {
  if (value instanceof JsonText) return value.json;
  if (Array.isArray(value)) return `[${value.map(writeJson).join(',')}]`;
  if (!isJsonObject(value)) return JSON.stringify(value);
  const members = Object.keys(value).map((name) => `${JSON.stringify(name)}:${writeJson(value[name])}`);
  return `{${members.join(',')}}`;
}

/** A value within another, and how it is replaced there. */
export interface JsonPlace {
  readonly value: unknown;
  readonly set: (value: unknown) => void;
}

/** What is at the end of these steps, wherever they lead; nothing where something else is in their way. */
export function placesAt(root: unknown, steps: readonly PathStep[]): readonly JsonPlace[] {
  let places: readonly JsonPlace[] = [{ value: root, set: () => undefined }];
  for (const step of steps) places = places.flatMap(({ value }) => placesBelow(value, step));
  return places;
}

function placesBelow(value: unknown, step: PathStep): readonly JsonPlace[] {
  if (Array.isArray(value)) {
    const items: unknown[] = value;
    if (!('each' in step)) return [];
    return items.map((item, i) => ({ value: item, set: (next) => void (items[i] = next) }));
  }
  if (!isJsonObject(value) || !('member' in step) || !Object.hasOwn(value, step.member)) return [];
  const { member } = step;
  return [
    { value: value[member], set: (next) => void Object.defineProperty(value, member, { value: next }) },
  ];
}
