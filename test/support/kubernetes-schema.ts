// Whether objects are such as Kubernetes, KEDA and the operator of Prometheus take: each as a literal of its type, which
// TypeScript checks strictly. It names misspelled and missing members where the API server would, or would ignore them.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Manifest, ROOT } from './kustomize.js';

const MODULES: Readonly<{ [apiVersion: string]: string }> = {
  v1: 'kubernetes-types/core/v1.js',
  'apps/v1': 'kubernetes-types/apps/v1.js',
  'batch/v1': 'kubernetes-types/batch/v1.js',
  'networking.k8s.io/v1': 'kubernetes-types/networking/v1.js',
  'policy/v1': 'kubernetes-types/policy/v1.js',
  'keda.sh/v1alpha1': 'custom-resources',
  'monitoring.coreos.com/v1': 'custom-resources',
};

/** What is wrong with them, a line each, with the file that an object is written in. */
export function schemaProblems(manifests: readonly Manifest[]): readonly string[] {
  const folder = mkdtempSync(join(tmpdir(), 'maskline-kubernetes-'));
  try {
    manifests.forEach((manifest, index) => {
      writeFileSync(join(folder, `${index}.ts`), literalOf(manifest));
    });
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(settings()));
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const { stdout } = spawnSync(process.execPath, [tsc, '-p', folder, '--pretty', 'false'], {
      cwd: folder,
      encoding: 'utf8',
    });
    return stdout
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map((line) =>
        line.replace(/^(\d+)\.ts\((\d+).*?\): /, (_, index: string) => placeOf(manifests[Number(index)])),
      );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function literalOf({ object }: Manifest): string {
  const { apiVersion, kind } = object;
  return `import type { ${kind} } from '${MODULES[apiVersion] ?? apiVersion}';
export const object: Required<Pick<${kind}, 'apiVersion' | 'kind' | 'metadata'>> & ${kind} = ${JSON.stringify(object, null, 2)};
`;
}

function placeOf(manifest: Manifest | undefined): string {
  return manifest ? `${manifest.file}: ${manifest.object.kind} ${manifest.object.metadata.name}: ` : '';
}

function settings(): object {
  return {
    compilerOptions: {
      target: 'ES2023',
      module: 'ESNext',
      moduleResolution: 'bundler',
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      skipLibCheck: true,
      types: [],
      paths: {
        'kubernetes-types/*': [join(ROOT, 'node_modules/kubernetes-types/*')],
        'custom-resources': [join(ROOT, 'test/support/custom-resources.ts')],
      },
    },
    include: ['*.ts'],
  };
}
