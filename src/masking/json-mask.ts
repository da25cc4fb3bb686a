// Parts of a JSON value, each masked in its own way, and nothing else of it.

import { NULL_FIELD, decodeField } from '../copy-text.js';
import { wrongShape } from './field-path.js';
import { JsonText, emptyObject, isJsonObject, writeJson } from './json-tree.js';
import type { ColumnSpec, PathStep } from './methods.js';
import { type JsonColumn, partOf } from './parts.js';
import { PathTree, isWithin } from './path-tree.js';
import { type ColumnMask, type Refusal, refuse } from './refusal.js';
import { keepMask } from './values.js';

/** What becomes of a place: its value is stored, or not, or masked by the member of that number. */
type Rule = 'keep' | 'drop' | number;

/** The values at one member's places, over all records. */
interface Gathered {
  readonly values: unknown[];
  readonly companions: unknown[];
  readonly records: number[];
  /** Where the results go. */
  readonly texts: JsonText[];
}

const leftOut = Symbol('left out');

/**
 * Masks the members of JSON values, each member's of a whole column at once. A value is built anew of what is named, so
 * that nothing else can be in it. Companions are lists, one for each member. `maskPart` gives the mask of a part.
 */
export function jsonMask(column: JsonColumn, maskPart: (part: ColumnSpec) => ColumnMask): ColumnMask {
  const rules = rulesOf(column);
  const parts = column.mask.members.map((member) => {
    const spec = partOf(column, member);
    const { method } = member.mask;
    return method === 'keep' || method === 'drop' ? null : { spec, mask: maskPart(element(spec)) };
  });
  const keep = keepMask({ ...column, type: 'jsonb', mask: { method: 'keep' } });
  return (values, normalized, companions = []) => {
    const gathered = parts.map((): Gathered => ({ values: [], companions: [], records: [], texts: [] }));
    const pruned = values.map((value, record) =>
      prune(value, rules, column.mask.others === 'keep', (member, part) => {
        const { spec } = parts[member] ?? {};
        const text = new JsonText('null');
        const own = companions[record];
        gathered[member]?.values.push(inputOf(part, spec?.mask.method));
        gathered[member]?.companions.push(Array.isArray(own) ? own[member] : undefined);
        gathered[member]?.records.push(record);
        gathered[member]?.texts.push(text);
        return text;
      }),
    );
    const refusals = new Map<number, Refusal>();
    for (const [member, part] of parts.entries()) {
      const found = gathered[member];
      if (!part || !found) continue;
      const cells = part.mask(found.values, normalized, found.companions);
      if (cells.length !== found.values.length)
        throw new RangeError('a mask returned fewer or more cells than values');
      for (const [k, cell] of cells.entries()) {
        const [text, record] = [found.texts[k], found.records[k] ?? 0];
        if (typeof cell !== 'string') {
          if (!refusals.has(record)) refusals.set(record, { ...cell, path: part.spec.path });
        } else if (text && cell !== NULL_FIELD) text.json = JSON.stringify(decodeField(cell));
      }
    }
    const stored = keep(
      pruned.map((value) => (value === wrongShape ? 'null' : writeJson(value))),
      normalized,
    );
    return pruned.map((value, record) =>
      value === wrongShape
        ? refuse('wrong_type')
        : (refusals.get(record) ?? stored[record] ?? refuse('mask_failed')),
    );
  };
}

/** The mask of each value at a part's places, of which there may be many. */
function element(spec: ColumnSpec): ColumnSpec {
  const { name, path } = spec;
  return { ...spec, source: { kind: 'field', name }, path, type: 'text' };
}

function rulesOf({ mask }: JsonColumn): PathTree<Rule> {
  const rules = new PathTree<Rule>();
  const dropped = [...mask.taken];
  const kept: (readonly PathStep[])[] = mask.others === 'keep' ? [[]] : [];
  for (const [number, { steps, mask: own }] of mask.members.entries()) {
    if (own.method === 'drop') dropped.push(steps);
    else rules.at(steps).rule = own.method === 'keep' ? own.method : number;
    if (own.method === 'keep') kept.push(steps);
  }
  // Where nothing is kept there is nothing to be cut out of it.
  for (const steps of dropped)
    if (kept.some((outer) => isWithin(steps, outer))) rules.at(steps).rule = 'drop';
  return rules;
}

/**
 * A copy of the value with what is to be stored of it, and `onMember`'s text where a member is masked. `wrongShape` when
 * it is no object or array where members or elements of it are named: anything might be in it.
 */
function prune(
  value: unknown,
  place: PathTree<Rule>,
  isKept: boolean,
  onMember: (member: number, value: unknown) => JsonText,
): unknown {
  const { rule, members, each } = place;
  if (rule === 'drop') return leftOut;
  if (typeof rule === 'number') return value === null ? null : onMember(rule, value);
  const keeps = isKept || rule === 'keep';
  if (!place.isFork) return keeps ? value : leftOut;
  if (value === null) return null;
  if (Array.isArray(value)) {
    if (each === null) return wrongShape;
    const items = value.map((item: unknown) => prune(item, each, keeps, onMember));
    return items.includes(wrongShape) ? wrongShape : items.filter((item) => item !== leftOut);
  }
  if (!isJsonObject(value) || members.size === 0) return wrongShape;
  const object = emptyObject();
  for (const name of Object.keys(value)) {
    const next = members.get(name);
    const part = next ? prune(value[name], next, keeps, onMember) : keeps ? value[name] : leftOut;
    if (part === wrongShape) return wrongShape;
    if (part !== leftOut) object[name] = part;
  }
  return object;
}

/** What a mask is given of a part: a number as JSON.parse has it, but with its digits where they count. */
function inputOf(part: unknown, method: string | undefined): unknown {
  const isNumber = typeof part === 'number' || part instanceof JsonText;
  if (!isNumber) return part;
  if (method === 'bucket') return writeJson(part);
  return part instanceof JsonText ? Number(part.json) : part;
}
