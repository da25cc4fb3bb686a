// deploy/kubernetes as kustomize renders it, without kustomize: only what our files use of it, and an error for the rest.

import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, parseAllDocuments } from 'yaml';

/** The package's root. */
export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** Any object of Kubernetes. */
export interface Manifest {
  /** Below the root: where it is written. */
  readonly file: string;
  readonly object: {
    readonly apiVersion: string;
    readonly kind: string;
    readonly metadata: { readonly name: string; readonly labels?: Labels; readonly annotations?: Labels };
  };
}

/** Names and their values. */
export type Labels = Readonly<{ [name: string]: string }>;

interface Kustomization {
  readonly apiVersion: string;
  readonly kind: string;
  readonly resources?: readonly string[];
  readonly components?: readonly string[];
  readonly configMapGenerator?: readonly { readonly name: string; readonly files: readonly string[] }[];
  readonly images?: readonly { readonly name: string; readonly newName: string; readonly newTag: string }[];
}

const KNOWN = ['apiVersion', 'kind', 'resources', 'components', 'configMapGenerator', 'images'];
const VERSIONS: Labels = {
  Kustomization: 'kustomize.config.k8s.io/v1beta1',
  Component: 'kustomize.config.k8s.io/v1alpha1',
};

/** All objects of a folder with a kustomization.yaml, given below the root. Names keep no hash of their content. */
export function renderKustomization(folder: string): readonly Manifest[] {
  const file = join(ROOT, folder, 'kustomization.yaml');
  const kustomization = parse(readFileSync(file, 'utf8')) as Kustomization;
  const { resources = [], components = [], configMapGenerator = [], images = [] } = kustomization;
  for (const key of Object.keys(kustomization)) assert.ok(KNOWN.includes(key), `${file}: ${key}`);
  assert.equal(kustomization.apiVersion, VERSIONS[kustomization.kind], file);
  const all = [
    ...[...resources, ...components].flatMap((entry) => objectsOf(join(folder, entry))),
    ...configMapGenerator.map(({ name, files }) => configMap(folder, name, files)),
  ];
  for (const { name, newName, newTag } of images) {
    for (const { object } of all) renameImages(object, name, `${newName}:${newTag}`);
  }
  const names = all.map(({ object }) => `${object.kind} ${object.metadata.name}`);
  assert.equal(new Set(names).size, names.length, `${folder}: ${names.join(', ')}`);
  return all;
}

function objectsOf(place: string): readonly Manifest[] {
  if (statSync(join(ROOT, place)).isDirectory()) return renderKustomization(place);
  return parseAllDocuments(readFileSync(join(ROOT, place), 'utf8')).map((document) => {
    assert.deepEqual(document.errors, [], place);
    return { file: place, object: document.toJS() as Manifest['object'] };
  });
}

function configMap(folder: string, name: string, files: readonly string[]): Manifest {
  const data = Object.fromEntries(
    files.map((file) => [basename(file), readFileSync(join(ROOT, folder, file), 'utf8')]),
  );
  const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data };
  return { file: join(folder, 'kustomization.yaml'), object };
}

/** Wherever an object has an image of that name. */
function renameImages(within: unknown, name: string, image: string): void {
  if (typeof within !== 'object' || within === null) return;
  if ('image' in within && within.image === name) within.image = image;
  for (const each of Object.values(within)) renameImages(each, name, image);
}
