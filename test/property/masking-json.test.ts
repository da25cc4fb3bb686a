import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { systemClock } from '../../src/clock.js';
import { compileMasker } from '../../src/masking/mask.js';
import type { JsonMember, PathStep } from '../../src/masking/methods.js';
import {
  batchOf,
  column,
  decodeCopy,
  policyOf,
  primaryMaster,
  testKeyring,
  token,
} from '../support/masking.js';
import { tokenOracle } from '../support/oracle.js';

/** So few that paths lead somewhere. */
const NAMES = ['a', 'b', '__proto__'] as const;
const SCALARS = ['null', 'true', '1.5', '-2e3', '"text"', '"other"', '"s1.x"', '""'] as const;

const json = fc.letrec<{ node: string }>((tie) => ({
  node: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    fc.constantFrom(...SCALARS),
    fc
      .array(fc.tuple(fc.constantFrom(...NAMES), tie('node')), { maxLength: 4 })
      .map((members) => `{${members.map(([name, value]) => `"${name}":${value}`).join(',')}}`),
    fc.array(tie('node'), { maxLength: 3 }).map((items) => `[${items.join(',')}]`),
  ),
})).node;
const body = fc
  .array(fc.tuple(fc.constantFrom(...NAMES), json), { maxLength: 5 })
  .map((members) => `{${members.map(([name, value]) => `"${name}":${value}`).join(',')}}`);

/** A path as text, `*` being each element; it begins with a name. */
const path = fc
  .tuple(fc.constantFrom(...NAMES), fc.array(fc.constantFrom(...NAMES, '*'), { maxLength: 3 }))
  .map(([name, rest]) => [name, ...rest].join('.'));
const rules = fc.dictionary(path, fc.constantFrom('keep', 'siv', 'drop'), { minKeys: 1, maxKeys: 4 });

const isWithin = (inner: string, outer: string): boolean => `${inner}.`.startsWith(`${outer}.`);
const stepOf = (part: string): PathStep => (part === '*' ? { each: true } : { member: part });

/** What is no object or array, by its path with `*`, and where exactly it is. */
function leaves(
  value: unknown,
  pattern: readonly string[],
  place: readonly string[],
): [string, string, unknown][] {
  if (typeof value !== 'object' || value === null) return [[pattern.join('.'), place.join('.'), value]];
  return Object.keys(value).flatMap((name) => {
    const part = Array.isArray(value) ? '*' : name;
    return leaves(Reflect.get(value, name), [...pattern, part], [...place, name]);
  });
}

test('what is stored of any JSON is kept by a rule or a token of it, and all that rules keep is stored', () => {
  fc.assert(
    fc.property(body, rules, fc.boolean(), (text, given, keepsOthers) => {
      // As in a file: only what is kept has other rules within it.
      const named = Object.entries(given).filter(([at]) =>
        Object.entries(given).every(
          ([outer, rule]) => rule === 'keep' || outer === at || !isWithin(at, outer),
        ),
      );
      const members = named.map(([at, rule]): JsonMember => {
        const mask = rule === 'siv' ? token('siv') : ({ method: rule === 'keep' ? 'keep' : 'drop' } as const);
        return { at, path: at, steps: at.split('.').map(stepOf), mask };
      });
      const others = keepsOthers ? 'keep' : 'drop';
      const spec = column('rest', {
        type: 'jsonb',
        source: { kind: 'rest' },
        mask: { method: 'json', others, members, taken: [] },
      });
      const { masked } = compileMasker(policyOf([spec]), testKeyring(), systemClock).mask(batchOf([text]));
      const [cell] = decodeCopy(masked.rows)[0] ?? [];
      // Rejected: nothing of it is stored.
      if (typeof cell !== 'string') return;
      const sent = new Map(leaves(JSON.parse(text), [], []).map(([, place, value]) => [place, value]));
      const stored = leaves(JSON.parse(cell), [], []);
      const ruleOf = (pattern: string): string =>
        named
          .filter(([at]) => isWithin(pattern, at))
          .toSorted(([one], [other]) => other.length - one.length)[0]?.[1] ?? others;
      // Null on the way to something that is stored is null.
      const isOnTheWay = (pattern: string, value: unknown): boolean =>
        value === null && named.some(([at, rule]) => rule !== 'drop' && isWithin(at, pattern));
      for (const [pattern, place, value] of stored) {
        if (isOnTheWay(pattern, value)) continue;
        const rule = ruleOf(pattern);
        assert.notEqual(rule, 'drop', `${place} of ${text} is stored`);
        const raw = sent.get(place);
        const expected =
          rule === 'keep' || raw === null
            ? raw
            : tokenOracle(primaryMaster, 2, 'siv', 'd', 'text', typeof raw === 'string' ? raw : '');
        assert.deepEqual(value, expected, `${place} of ${text}`);
      }
      const places = new Set(stored.map(([, place]) => place));
      for (const [pattern, place, value] of leaves(JSON.parse(text), [], []))
        if (!isOnTheWay(pattern, value))
          assert.equal(places.has(place), ruleOf(pattern) !== 'drop', `${place} of ${text}`);
    }),
    { numRuns: 1_500 },
  );
});
