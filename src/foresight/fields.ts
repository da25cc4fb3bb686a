// The fields of sampled bodies: where they are, and in which rows.

import type { Row } from '../masking/reading.js';
import { parseBody } from '../masking/body.js';
import type { MessageHead } from '../batch.js';
import { kindOf } from './detectors.js';
import type { Sample } from './sample-file.js';

/** A place in the bodies that holds values, written as a column's `from`. */
export interface Field {
  readonly from: string;
  /** The last name on the way to it. */
  readonly name: string;
  /** All of its names, for a column's name. */
  readonly names: readonly string[];
  /** Whether it is each element of an array. */
  readonly isList: boolean;
}

/** What the sampled bodies are made of. */
export interface SampledFields {
  readonly rows: readonly Row[];
  readonly fields: readonly Field[];
  /** Lines that hold no JSON object. */
  readonly badLines: readonly number[];
  /** Lines of objects that share no field with most of the others: they come from elsewhere. */
  readonly strangerLines: readonly number[];
  /** How many fields were left out, since their names look like values, or there are too many of them. */
  readonly unnamed: number;
}

const LIMITS = { maxDepth: 32, maxBody: 2 ** 20 };
const MOST_LEVELS = 5;
/** No table has more columns that anybody wants to read about; Postgres ends at 1,600. */
const MOST_FIELDS = 200;
/** An object with more members than this is a map, whose keys are data. */
const MOST_MEMBERS = 60;
const MOST = 0.5;
const PLAIN_NAME = /^[^.[\]*]+$/;
const SOUND_NAME = /^[\p{L}_$@][\p{L}\p{N}_$@.: -]{0,62}$/u;
/** So many digits in a row are an id, not a name. */
const LONG_NUMBER = /[0-9]{5}/;
const LONG_HEX = /(?=[a-f]*[0-9])[0-9a-f]{12}/i;

/** Reads the bodies of a sample and finds their fields, in the order in which they first occur. */
export function fieldsOf({ bodies, modifiedAt }: Sample): SampledFields {
  const badLines: number[] = [];
  const all = bodies.flatMap(({ line, body }) => {
    const fields = parseBody(body, LIMITS);
    if (typeof fields !== 'string') return [{ line, row: rowOf(line, body, fields, modifiedAt) }];
    badLines.push(line);
    return [];
  });
  const common = commonNames(all.map(({ row }) => row));
  const isStranger = ({ fields }: Row): boolean =>
    common.size > 0 && !Object.keys(fields).some((name) => common.has(name));
  const known = all.filter(({ row }) => !isStranger(row)).map(({ row }) => row);
  const found = new Finder();
  found.members(
    known.map(({ fields }) => fields),
    [],
    1,
  );
  return {
    rows: known,
    fields: found.fields,
    badLines,
    strangerLines: all.filter(({ row }) => isStranger(row)).map(({ line }) => line),
    unnamed: found.unnamed,
  };
}

function rowOf(line: number, body: string, fields: Row['fields'], sentAt: number): Row {
  const head: MessageHead = { messageId: String(line), sentAt, receivedAt: sentAt, attributes: {} };
  return { record: { id: String(line), message: 0, body }, head, fields };
}

/** Names that most bodies have. */
function commonNames(rows: readonly Row[]): ReadonlySet<string> {
  const counts = new Map<string, number>();
  for (const { fields } of rows)
    for (const name of Object.keys(fields)) counts.set(name, (counts.get(name) ?? 0) + 1);
  return new Set([...counts].filter(([, count]) => count > rows.length * MOST).map(([name]) => name));
}

/** A step on the way to a field: a member, or each element. */
type Step = { readonly name: string } | 'each';

class Finder {
  readonly fields: Field[] = [];
  unnamed = 0;

  members(objects: readonly object[], path: readonly Step[], level: number): void {
    const values = new Map<string, unknown[]>();
    for (const object of objects) {
      for (const [name, value] of Object.entries(object)) {
        const own = values.get(name) ?? [];
        own.push(value);
        values.set(name, own);
      }
    }
    const isMap = values.size > MOST_MEMBERS && path.length > 0;
    for (const [name, own] of values) {
      if (isMap || !isSoundName(name)) this.unnamed += 1;
      else this.#value(own, [...path, { name }], level);
    }
  }

  #value(values: readonly unknown[], path: readonly Step[], level: number): void {
    const present = values.filter((value) => value !== null);
    const objects = present.filter(isObject);
    const lists = present.filter((value) => Array.isArray(value));
    if (objects.length + lists.length === 0) this.#add(path);
    else if (level === MOST_LEVELS) this.unnamed += 1;
    else if (objects.length === present.length) this.members(objects, path, level + 1);
    else if (lists.length === present.length) {
      this.#value(lists.flat(1), [...path, 'each'], level + 1);
    } else this.unnamed += 1;
  }

  #add(path: readonly Step[]): void {
    if (this.fields.length >= MOST_FIELDS) {
      this.unnamed += 1;
      return;
    }
    const names = path.flatMap((step) => (step === 'each' ? [] : [step.name]));
    this.fields.push({
      from: path.map(written).join(''),
      name: names.at(-1) ?? '',
      names,
      isList: path.includes('each'),
    });
  }
}

function written(step: Step, index: number): string {
  if (step === 'each') return '[*]';
  const isPlain = PLAIN_NAME.test(step.name) && !(index === 0 && step.name.startsWith('$'));
  if (!isPlain) return `[${JSON.stringify(step.name)}]`;
  return index === 0 ? step.name : `.${step.name}`;
}

/** Names go into the file that is written, so what may be somebody's data is none. */
function isSoundName(name: string): boolean {
  const isData = LONG_NUMBER.test(name) || LONG_HEX.test(name) || kindOf(name) !== null;
  return SOUND_NAME.test(name) && !isData && name !== '__proto__';
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
