import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { parse } from 'yaml';
import { z } from 'zod';
import { entriesOf, valueAt } from '../../src/config/issues.js';
import { jsonSchema } from '../../src/config/json-schema.js';
import { referenceMarkdown } from '../../src/config/reference.js';
import { initTemplate } from '../../src/config/template.js';
import { metricNames } from '../../src/ops/metric-names.js';

const root = new URL('../../../', import.meta.url);
const committed = readFileSync(new URL('schema.json', root), 'utf8');
const reference = readFileSync(new URL('docs/reference.md', root), 'utf8');
const example = readFileSync(new URL('examples/login-events/maskline.yaml', root), 'utf8');
const severalTables = readFileSync(new URL('examples/order-items/maskline.yaml', root), 'utf8');
const HOW = 'out of date: run node scripts/write-generated.mjs';

/** Whether an editor that follows the committed schema takes the text without a complaint. */
function accepts(text: string): boolean {
  const schema: unknown = JSON.parse(committed);
  assert.ok(isSchema(schema));
  return z.fromJSONSchema(schema).safeParse(parse(text)).success;
}

function isSchema(value: unknown): value is Parameters<typeof z.fromJSONSchema>[0] {
  return typeof value === 'object' && value !== null;
}

test('schema.json is what the code says', () => {
  assert.deepEqual(JSON.parse(committed), jsonSchema(), HOW);
});

test('the keys in docs/reference.md are what the code says', () => {
  const part = /<!-- generated: keys -->\n\n(.*)\n\n<!-- end of generated -->/s.exec(reference)?.[1];
  assert.equal(part, referenceMarkdown(), HOW);
});

test('every key has a description, for editors and for the reference', () => {
  let keys = 0;
  const walk = (node: unknown, path: string): void => {
    for (const [key, child] of entriesOf(valueAt(node, ['properties']))) {
      keys += 1;
      const description = valueAt(child, ['description']);
      assert.ok(typeof description === 'string' && /^[A-Z].*\.$/s.test(description), `${path}.${key}`);
      walk(child, `${path}.${key}`);
    }
    const branches = valueAt(node, ['anyOf']);
    if (Array.isArray(branches)) for (const branch of branches) walk(branch, path);
    if (typeof valueAt(node, ['additionalProperties']) === 'object')
      walk(valueAt(node, ['additionalProperties']), `${path}.*`);
  };
  walk(jsonSchema(), '');
  assert.ok(keys > 60, `only ${keys} keys`);
});

test('the schema takes the examples and what init writes, before interpolation', () => {
  assert.ok(accepts(example));
  assert.ok(accepts(severalTables));
  assert.ok(accepts(initTemplate().yaml));
});

test('the schema takes an interpolated value wherever a single value may stand', () => {
  const interpolated = example.replaceAll(/(?<=: )(?:'[^']*'|[$A-Za-z0-9*/._]+)(?=[ ,\n])/g, '"a${X}b"');
  assert.ok((interpolated.match(/a\$\{X\}b/g) ?? []).length > 50);
  assert.ok(accepts(interpolated));
});

test('the schema refuses what loading would refuse', () => {
  const slips: readonly (readonly [string, string])[] = [
    ['envelope: auto', 'envelop: auto'],
    ['envelope: auto', 'envelope: sms'],
    ['receivers: 8', 'receivers: 65'],
    ['linger: 1s', 'linger: 1 second'],
    ['max_body: 1MiB', 'max_body: 1MB'],
    ['leak_gate: false', 'leak_gate: perhaps'],
    ['method: siv', 'method: sib'],
    ['version: 1', 'version: 2'],
    ['type: date', 'type: day'],
  ];
  for (const [right, wrong] of slips) {
    assert.ok(example.includes(right), right);
    assert.ok(!accepts(example.replace(right, wrong)), wrong);
  }
});

test('the reference names the default of every key as the schema has it', () => {
  for (const [key, fallback] of [
    ['queue.high_water', '0.6'],
    ['startup_timeout', '60s'],
    ['limits.in_flight', '20000'],
    ['batch.max_bytes', '1MiB'],
    ['source.sqs.visibility_timeout', '5m'],
  ] as const) {
    assert.match(reference, new RegExp(`\\| \`${key}\` +\\|[^|]*\\| \`${fallback}\` +\\|`), key);
  }
});

test('the reference lists every metric, and none that does not exist', () => {
  const listed = [...reference.matchAll(/`(maskline_[a-z_]+)`/g)].map(([, name = '']) => name);
  assert.deepEqual(listed.toSorted(), Object.values(metricNames).toSorted());
});
