import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { schemaProblems } from '../support/kubernetes-schema.js';
import { type Manifest, ROOT, renderKustomization } from '../support/kustomize.js';

const OVERLAYS = ['workers', 'cron'] as const;
const rendered = Object.fromEntries(
  OVERLAYS.map((name) => [name, renderKustomization(`deploy/kubernetes/overlays/${name}`)]),
);

test('every member of every object is one that Kubernetes, KEDA and Prometheus know, of its type', () => {
  assert.deepEqual(schemaProblems(Object.values(rendered).flat()), []);
});

test('a misspelled, a missing and a mistyped member are seen', () => {
  const deployment = rendered['workers']?.find(({ object }) => object.kind === 'Deployment');
  const text = JSON.stringify(deployment);
  const spoilt = [
    text.replaceAll('terminationGracePeriodSeconds', 'terminationGracePeriodSecond'),
    text.replaceAll('"selector"', '"selectors"'),
    text.replace('"containerPort":9090', '"containerPort":"9090"'),
  ].map((each) => JSON.parse(each) as Manifest);
  const problems = schemaProblems(spoilt);
  for (const word of ['terminationGracePeriodSecond', 'selectors', 'is not assignable to type .number'])
    assert.match(problems.join('\n'), new RegExp(word));
  for (const line of problems.filter((each) => !each.startsWith(' ')))
    assert.match(line, /^deploy\/kubernetes\/components\/roles\/ingest\.yaml: Deployment maskline-ingest: /);
});

test('kustomize, where it is installed, renders the same', () => {
  const { status } = spawnSync('kubectl', ['version', '--client'], { stdio: 'ignore' });
  if (status !== 0) return;
  for (const name of OVERLAYS) {
    const folder = join(ROOT, 'deploy/kubernetes/overlays', name);
    const { stdout, stderr } = spawnSync('kubectl', ['kustomize', folder], { encoding: 'utf8' });
    assert.equal(stderr, '');
    // A hash of what it holds is part of the name of the ConfigMap.
    const theirs = parseAllDocuments(stdout.replace(/\bmaskline-[a-z0-9]{10}$/gm, 'maskline'));
    const ours = rendered[name]?.map(({ object }) => JSON.stringify(sorted(object)));
    assert.deepEqual(ours?.sort(), theirs.map((each) => JSON.stringify(sorted(each.toJS()))).sort(), name);
  }
});

/** With its members in the order of their names. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(members.map(([key, member]) => [key, sorted(member)]));
}
