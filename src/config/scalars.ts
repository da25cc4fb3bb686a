import { z } from 'zod';
import { didYouMean } from './suggestion.js';
import { durationMs, durationPattern, formatDuration, formatSize, sizeBytes, sizePattern } from './units.js';

/** What reading a scalar gave, or what is wrong with it. Messages never quote the value: it may be a secret. */
export type Reading<T> = { readonly value: T } | { readonly wrong: string };

/** The message of a key that is missing and has no default. */
export const REQUIRED = 'required';

// Wherever a scalar is expected, an editor must accept an interpolated one.
const INTERPOLATED = '\\$\\{';

const VALUE_COLLECTION = 'must be a single value, not a list or a map';

/** A leaf of the file. `json` is its JSON Schema; what was interpolated arrives as text, whatever its type. */
export function scalar<T>(description: string, json: object, read: (value: unknown) => Reading<T>) {
  return z
    .unknown()
    .transform((value, context): T => {
      const reading = readPresent(value, read);
      if ('value' in reading) return reading.value;
      context.addIssue({ code: 'custom', message: reading.wrong });
      return z.NEVER;
    })
    .meta({ ...json, description });
}

function readPresent<T>(value: unknown, read: (value: unknown) => Reading<T>): Reading<T> {
  if (value === undefined) return { wrong: REQUIRED };
  const reading = read(value);
  if ('value' in reading) return reading;
  if (value === null) return { wrong: 'is empty; give it a value, or leave the key out' };
  return typeof value === 'object' ? { wrong: VALUE_COLLECTION } : reading;
}

/** Any text; `test` may narrow it, `wrong` then says how. A number or true and false must be quoted. */
export function text(description: string, pattern?: RegExp, wrong = 'is not valid') {
  return scalar(description, { type: 'string', minLength: 1 }, (value): Reading<string> => {
    if (typeof value !== 'string') return { wrong: 'must be text; put it in quotes' };
    if (value === '') return { wrong: 'is empty; give it a value, or leave the key out' };
    return pattern === undefined || pattern.test(value) ? { value } : { wrong };
  });
}

/** A whole number between two limits, which may be written as text. */
export function integer(description: string, minimum: number, maximum: number) {
  const json = {
    anyOf: [
      { type: 'integer', minimum, maximum },
      { type: 'string', pattern: `^[0-9]+$|${INTERPOLATED}` },
    ],
  };
  const wrong = `must be a whole number from ${minimum} to ${maximum}`;
  return scalar(description, json, (given) => {
    const value = typeof given === 'string' && /^[0-9]{1,15}$/.test(given) ? Number(given) : given;
    const fits = typeof value === 'number' && Number.isInteger(value) && value >= minimum && value <= maximum;
    return fits ? { value } : { wrong };
  });
}

/** A number from 0 to 1, which may be written as text. */
export function ratio(description: string) {
  const json = {
    anyOf: [
      { type: 'number', minimum: 0, maximum: 1 },
      { type: 'string', pattern: `^(0|1|0?\\.[0-9]+|1\\.0+)$|${INTERPOLATED}` },
    ],
  };
  return scalar(description, json, (given) => {
    const value = typeof given === 'string' && /^[0-9]*\.?[0-9]+$/.test(given) ? Number(given) : given;
    return typeof value === 'number' && value >= 0 && value <= 1
      ? { value }
      : { wrong: 'must be a number from 0 to 1' };
  });
}

/** True or false, which may be written as text. */
export function flag(description: string) {
  const json = {
    anyOf: [{ type: 'boolean' }, { type: 'string', pattern: `^(true|false)$|${INTERPOLATED}` }],
  };
  return scalar(description, json, (value) => {
    if (typeof value === 'boolean') return { value };
    return value === 'true' || value === 'false'
      ? { value: value === 'true' }
      : { wrong: 'must be true or false' };
  });
}

/** One of a few words. `later` are words that maskline means to know, but that this version refuses. */
export function choice<const W extends string>(
  description: string,
  words: readonly W[],
  later: readonly string[] = [],
) {
  const json = {
    anyOf: [
      { type: 'string', enum: [...words] },
      { type: 'string', pattern: INTERPOLATED },
    ],
  };
  const oneOf = words.length === 1 ? `must be ${words[0] ?? ''}` : `must be one of ${words.join(', ')}`;
  return scalar(description, json, (given): Reading<W> => {
    const value = words.find((word) => word === given);
    if (value !== undefined) return { value };
    if (typeof given !== 'string') return { wrong: oneOf };
    if (later.includes(given))
      return { wrong: `this choice is not supported by this version of maskline; it ${oneOf}` };
    return { wrong: `${oneOf}${didYouMean(given, words)}` };
  });
}

/** A time span between two limits, in milliseconds. */
export function duration(description: string, minimum: string, maximum: string) {
  return quantity(
    description,
    { minimum, maximum, pattern: durationPattern, parse: durationMs, format: formatDuration },
    {
      example: 'a duration such as 500ms, 90s, 15m or 7d',
      plainNumber: false,
    },
  );
}

/** A number of bytes between two limits; a plain number is bytes. */
export function size(description: string, minimum: string, maximum: string) {
  return quantity(
    description,
    { minimum, maximum, pattern: sizePattern, parse: sizeBytes, format: formatSize },
    {
      example: 'a size such as 64KiB or 1MiB, or a number of bytes',
      plainNumber: true,
    },
  );
}

interface Unit {
  readonly minimum: string;
  readonly maximum: string;
  readonly pattern: string;
  readonly parse: (text: string) => number | null;
  readonly format: (amount: number) => string;
}

function quantity(
  description: string,
  unit: Unit,
  form: { readonly example: string; readonly plainNumber: boolean },
) {
  const least = unit.parse(unit.minimum) ?? 0;
  const most = unit.parse(unit.maximum) ?? 0;
  const written = {
    type: 'string',
    pattern: `${unit.pattern}|${form.plainNumber ? '^[0-9]+$|' : ''}${INTERPOLATED}`,
  };
  const json = form.plainNumber
    ? { anyOf: [{ type: 'integer', minimum: least, maximum: most }, written] }
    : written;
  const range = `From ${unit.minimum} to ${unit.maximum}.`;
  return scalar(`${description} ${range}`, json, (given): Reading<number> => {
    const plain =
      form.plainNumber &&
      (typeof given === 'number' || (typeof given === 'string' && /^[0-9]{1,15}$/.test(given)));
    const value = plain ? Number(given) : typeof given === 'string' ? unit.parse(given) : null;
    if (value === null || !Number.isInteger(value)) return { wrong: `must be ${form.example}` };
    return value >= least && value <= most
      ? { value }
      : { wrong: `must be from ${unit.format(least)} to ${unit.format(most)}` };
  });
}
