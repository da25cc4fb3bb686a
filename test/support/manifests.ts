// What the manifests of deploy/kubernetes say, for tests that compare it with what maskline does.

import { join } from 'node:path';
import type { Deployment } from 'kubernetes-types/apps/v1.js';
import type { CronJob, Job } from 'kubernetes-types/batch/v1.js';
import type { ConfigMap, PodSpec, Service, ServiceAccount } from 'kubernetes-types/core/v1.js';
import type { LabelSelector } from 'kubernetes-types/meta/v1.js';
import type { NetworkPolicy } from 'kubernetes-types/networking/v1.js';
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.js';
import { type CheckedConfig, checkConfig } from '../../src/config/load.js';
import type { PodMonitor, ScaledObject, TriggerAuthentication } from './custom-resources.js';
import type { Labels, Manifest } from './kustomize.js';
import { readImages } from './compose.js';

interface Kinds {
  readonly ConfigMap: ConfigMap;
  readonly CronJob: CronJob;
  readonly Deployment: Deployment;
  readonly Job: Job;
  readonly NetworkPolicy: NetworkPolicy;
  readonly PodDisruptionBudget: PodDisruptionBudget;
  readonly PodMonitor: PodMonitor;
  readonly ScaledObject: ScaledObject;
  readonly Service: Service;
  readonly ServiceAccount: ServiceAccount;
  readonly TriggerAuthentication: TriggerAuthentication;
}

/** What a pod is made from. */
export interface Pod {
  /** Of its one container, which is its role's or command's. */
  readonly name: string;
  readonly labels: Labels;
  readonly spec: PodSpec;
}

/** A secret that a pod is given; the key is null where all keys are mounted as files. */
export interface UsedSecret {
  readonly secret: string;
  readonly key: string | null;
}

/** The objects of one kind, which `schemaProblems` has found to be of its type. */
export function ofKind<K extends keyof Kinds>(manifests: readonly Manifest[], kind: K): readonly Kinds[K][] {
  const found = manifests.filter(({ object }) => object.kind === kind);
  return found.map(({ object }) => JSON.parse(JSON.stringify(object)) as Kinds[K]);
}

/** All pods that the objects make, by kind. */
export function podsOf(manifests: readonly Manifest[]): readonly Pod[] {
  const templates = [
    ...ofKind(manifests, 'Deployment').map(({ spec }) => spec?.template),
    ...ofKind(manifests, 'Job').map(({ spec }) => spec?.template),
    ...ofKind(manifests, 'CronJob').map(({ spec }) => spec?.jobTemplate.spec?.template),
  ];
  return templates.flatMap((template) => {
    const { metadata, spec } = template ?? {};
    const name = spec?.containers[0]?.name;
    return spec && name ? [{ name, labels: metadata?.labels ?? {}, spec }] : [];
  });
}

/** Whether a selector takes pods with those labels. An empty one takes all. */
export function selects(selector: LabelSelector | undefined, labels: Labels): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector ?? {};
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      if (operator !== 'In') throw new TypeError(`selectors by ${operator} are not looked at`);
      return values.includes(labels[key] ?? '');
    })
  );
}

/** The secrets that the pod can't do without. */
export function secretsOf({ spec }: Pod): readonly UsedSecret[] {
  const mounted = (spec.volumes ?? []).flatMap(({ secret }): readonly UsedSecret[] => {
    if (!secret?.secretName) return [];
    const name = secret.secretName;
    return secret.items?.map(({ key }) => ({ secret: name, key })) ?? [{ secret: name, key: null }];
  });
  const given = spec.containers.flatMap(({ env = [] }) =>
    env.flatMap(({ valueFrom }): readonly UsedSecret[] => {
      const { name, key } = valueFrom?.secretKeyRef ?? {};
      return name && key ? [{ secret: name, key }] : [];
    }),
  );
  return [...mounted, ...given];
}

/** The configuration as a process in the pod finds it: by the image's environment and the pod's, and what is mounted. */
export function configIn(pod: Pod, manifests: readonly Manifest[]): CheckedConfig {
  const [container] = pod.spec.containers;
  const env: { [name: string]: string } = { ...readImages().get('maskline')?.env };
  for (const { name, value } of container?.env ?? []) env[name] = value ?? 'a secret';
  const files = filesIn(pod, manifests);
  const read = (path: string): string => {
    const text = files(path);
    if (text === null) throw Object.assign(new Error('not mounted'), { code: 'ENOENT' });
    return text;
  };
  return checkConfig({ file: env['MASKLINE_CONFIG'] ?? '', env, read });
}

/** By its path, the text of a file that is mounted; of Secrets, a URL of the scheme that fits the key. */
function filesIn({ spec }: Pod, manifests: readonly Manifest[]): (path: string) => string | null {
  const files = new Map<string, string>();
  for (const { name, mountPath } of spec.containers[0]?.volumeMounts ?? []) {
    const volume = spec.volumes?.find((each) => each.name === name);
    const map = ofKind(manifests, 'ConfigMap').find(
      ({ metadata }) => metadata?.name === volume?.configMap?.name,
    );
    for (const [key, text] of Object.entries(map?.data ?? {})) files.set(join(mountPath, key), text);
    if (volume?.secret?.secretName === 'maskline-queue') {
      files.set(join(mountPath, 'redis-url'), 'rediss://maskline:secret@redis.example.com:6379/0');
    } else if (volume?.name === 'database') {
      files.set(join(mountPath, 'database-url'), 'postgres://maskline:secret@db.example.com:5432/events');
    }
  }
  return (path) => files.get(path) ?? null;
}
