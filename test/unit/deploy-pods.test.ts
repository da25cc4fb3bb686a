import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { KekConfig } from '../../src/config/config.js';
import { kekFromEnv } from '../../src/masking/kek.js';
import { createKeyring } from '../../src/masking/keyring-file.js';
import type { Keyring } from '../../src/masking/keyring.js';
import { metricNames } from '../../src/ops/metric-names.js';
import { readEnvironment } from '../../src/roles/environment.js';
import { openKeyring } from '../../src/roles/keyring.js';
import { STOP_DEADLINE_MS } from '../../src/roles/role.js';
import { assertCommandLine } from '../support/command-lines.js';
import { ROOT, renderKustomization } from '../support/kustomize.js';
import { type Pod, configIn, ofKind, podsOf, secretsOf, selects } from '../support/manifests.js';

const workers = renderKustomization('deploy/kubernetes/overlays/workers');
const cron = renderKustomization('deploy/kubernetes/overlays/cron');
const overlays = [workers, cron];
const pods = overlays.flatMap(podsOf);
const roles = podsOf(workers).filter(({ name }) => name !== 'migrate');

const README = readFileSync(join(ROOT, 'deploy/kubernetes/README.md'), 'utf8');

/** What each process needs, as docs/operations.md has it. */
const KEYED = ['ingest', 'transform', 'load', 'drain'];
const ASKING_AWS = ['ingest', 'admin', 'drain'];
/** SQS lets a queue have so many messages in flight (Amazon SQS Developer Guide, "Amazon SQS message quotas"). */
const MAX_IN_FLIGHT = 120_000;

function pod(name: string): Pod {
  const found = pods.find((each) => each.name === name);
  assert.ok(found, name);
  return found;
}

function namesOf(found: readonly Pod[]): readonly string[] {
  return found.map(({ name }) => name).sort();
}

describe('each pod of deploy/kubernetes', () => {
  test('is one of those that are looked at here', () => {
    assert.deepEqual(namesOf(roles), ['admin', 'ingest', 'load', 'transform']);
    assert.deepEqual(namesOf(podsOf(cron)), ['drain', 'migrate', 'prune']);
    for (const { name, spec } of pods) assert.equal(spec.containers.length, 1, name);
  });

  test('is not root, gains no right, writes nowhere, and has no token of Kubernetes', () => {
    for (const { name, spec } of pods) {
      assert.equal(spec.securityContext?.runAsNonRoot, true, name);
      assert.equal(spec.securityContext.runAsUser, 1000, name);
      assert.equal(spec.securityContext.seccompProfile?.type, 'RuntimeDefault', name);
      assert.equal(spec.automountServiceAccountToken, false, name);
      // Else the Services of the namespace would be variables of names like ours.
      assert.equal(spec.enableServiceLinks, false, name);
      const { securityContext, volumeMounts = [], resources } = spec.containers[0] ?? {};
      assert.equal(securityContext?.allowPrivilegeEscalation, false, name);
      assert.equal(securityContext.readOnlyRootFilesystem, true, name);
      assert.deepEqual(securityContext.capabilities, { drop: ['ALL'] }, name);
      for (const mount of volumeMounts) assert.equal(mount.readOnly, true, `${name} ${mount.name}`);
      assert.ok(resources?.limits?.['memory'] && resources.requests?.['cpu'], name);
    }
  });

  test('has more time to stop than it takes', () => {
    for (const { name, spec } of pods)
      assert.ok((spec.terminationGracePeriodSeconds ?? 30) * 1_000 > STOP_DEADLINE_MS, name);
  });

  test('has a command line that the program takes', async () => {
    for (const { spec } of pods) await assertCommandLine(spec.containers[0]?.args ?? []);
    await assert.rejects(assertCommandLine(['drain', '--timout', '10m']), /unknown option/);
    await assert.rejects(assertCommandLine(['run', 'ingester']), /must be one of/);
  });

  test('takes the commands that the README runs in it', async () => {
    const found = [...README.matchAll(/ exec deploy\/maskline-(\w+) -- maskline (.*)$/gm)];
    assert.ok(found.length > 0);
    for (const [, name = '', words = ''] of found) {
      assert.ok(pod(name));
      await assertCommandLine(words.split(' '));
    }
  });

  test('finds a configuration without errors or warnings where the image looks, and every file that it names', () => {
    for (const manifests of overlays)
      for (const each of podsOf(manifests))
        assert.deepEqual(configIn(each, manifests).problems, [], each.name);
  });

  test('has the keyring and its key if it masks or opens sealed records, and neither otherwise', () => {
    const uses = (secret: string): readonly Pod[] =>
      pods.filter((each) => secretsOf(each).some((used) => used.secret === secret));
    assert.deepEqual(namesOf(uses('maskline-keys')), [...KEYED].sort());
    for (const name of KEYED) {
      const keys = secretsOf(pod(name)).filter(({ secret }) => secret === 'maskline-keys');
      assert.deepEqual(new Set(keys.map(({ key }) => key)), new Set(['kek', 'maskline.keyring.json']), name);
    }
    assert.deepEqual(namesOf(uses('maskline-admin-login')), ['admin']);
  });

  test('opens a keyring that is the file of a Secret, by a key that can be none', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'maskline-secret-'));
    try {
      // As the kubelet mounts it: links to links, readable for the group.
      mkdirSync(join(folder, '..2026'));
      symlinkSync('..2026', join(folder, '..data'));
      const kek = randomBytes(32).toString('base64');
      const files = { kek, keyring: JSON.stringify(createKeyring(kekFromEnv(kek), 0)) };
      for (const [name, text] of Object.entries(files)) {
        writeFileSync(join(folder, '..2026', name), text, { mode: 0o440 });
        symlinkSync(join('..data', name), join(folder, name));
      }
      const open = (place: KekConfig): Promise<Keyring> =>
        openKeyring({
          config: { keyring: { file: join(folder, 'keyring'), kek: place } },
          environment: readEnvironment({ MASKLINE_KEK: kek }),
        });
      assert.ok(await open({ type: 'env' }));
      await assert.rejects(open({ type: 'file', path: join(folder, 'kek') }), /symbolic link/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('logs in to Postgres as nobody else does', () => {
    for (const manifests of overlays) {
      const logins = podsOf(manifests).map(
        ({ spec }) => spec.volumes?.find(({ name }) => name === 'database')?.secret?.secretName,
      );
      assert.equal(new Set(logins).size, logins.length, String(logins));
    }
  });

  test('takes its secrets from Secrets that the README says how to make', () => {
    const rows = README.split('\n');
    for (const { secret, key } of pods.flatMap(secretsOf)) {
      const row = rows.find((line) => line.startsWith(`| \`${secret}\` `));
      assert.ok(row, `there is no row of ${secret}`);
      assert.ok(key === null || row.includes(`\`${key}\``), `${secret}: ${key}`);
    }
  });

  test('has a service account that is there, with a role in AWS if it asks AWS, and no other', () => {
    for (const manifests of overlays) {
      const accounts = ofKind(manifests, 'ServiceAccount');
      for (const { name, spec } of podsOf(manifests)) {
        const account = accounts.find(({ metadata }) => metadata?.name === spec.serviceAccountName);
        assert.ok(account, name);
        const role = account.metadata?.annotations?.['eks.amazonaws.com/role-arn'];
        assert.equal(role !== undefined, ASKING_AWS.includes(name), name);
      }
    }
  });
});

describe('the CronJobs', () => {
  const drain = ofKind(cron, 'CronJob').find(({ metadata }) => metadata?.name === 'maskline-drain');

  test('leave every retry to the next slot, which a hundred missed ones do not end for good', () => {
    for (const { metadata, spec } of ofKind(cron, 'CronJob')) {
      const job = spec?.jobTemplate.spec;
      assert.equal(spec?.concurrencyPolicy, 'Forbid', metadata?.name);
      assert.ok((spec.startingDeadlineSeconds ?? 0) > 0, metadata?.name);
      assert.equal(job?.backoffLimit, 0, metadata?.name);
      assert.equal(job.template.spec?.restartPolicy, 'Never', metadata?.name);
      assert.equal(spec.timeZone, 'Etc/UTC', metadata?.name);
    }
  });

  test('let a drain end by itself, with its report, before Kubernetes ends it', () => {
    const { args = [] } = pod('drain').spec.containers[0] ?? {};
    const [, minutes] = /^(\d+)m$/.exec(args[args.indexOf('--timeout') + 1] ?? '') ?? [];
    const limitMs = Number(minutes) * 60_000 + STOP_DEADLINE_MS;
    assert.ok((drain?.spec?.jobTemplate.spec?.activeDeadlineSeconds ?? 0) * 1_000 > limitMs);
    // The one process has the queue to itself.
    assert.equal(configIn(pod('drain'), cron).config?.queue.backend, 'memory');
  });
});

describe('the network policies let', () => {
  const policies = overlays.map((manifests) => ofKind(manifests, 'NetworkPolicy'));
  /** Whom any policy lets out by that port. */
  const out = (port: number): readonly string[] =>
    namesOf(
      overlays.flatMap((manifests, index) =>
        podsOf(manifests).filter(({ labels }) =>
          policies[index]?.some(
            ({ spec }) =>
              selects(spec?.podSelector, labels) &&
              spec?.egress?.some(({ ports = [] }) => ports.some((each) => each.port === port)),
          ),
        ),
      ),
    );

  test('nothing pass by default, in either direction', () => {
    for (const of of policies) {
      const closed = of.find(({ spec }) => spec?.ingress === undefined && spec?.egress === undefined);
      assert.deepEqual(closed?.spec?.policyTypes, ['Ingress', 'Egress']);
      for (const { labels, name } of pods) assert.ok(selects(closed.spec.podSelector, labels), name);
    }
  });

  test('everybody reach DNS and Postgres, those that share a queue Redis, those that ask AWS its services', () => {
    assert.deepEqual(out(53), namesOf(pods));
    assert.deepEqual(out(5432), namesOf(pods));
    assert.deepEqual(out(6379), namesOf(roles));
    assert.deepEqual(out(443), [...ASKING_AWS].sort());
  });

  test('nobody reach the credentials of the node', () => {
    for (const { metadata, spec } of policies.flat()) {
      for (const { to = [] } of spec?.egress ?? []) {
        for (const { ipBlock } of to) {
          if (ipBlock?.cidr !== '0.0.0.0/0') continue;
          assert.ok(ipBlock.except?.includes('169.254.169.254/32'), metadata?.name);
        }
      }
    }
  });

  test('scrapes in to the roles, and nothing to the others', () => {
    const entered = pods.filter(({ labels }) =>
      policies.flat().some(({ spec }) => spec?.ingress && selects(spec.podSelector, labels)),
    );
    assert.deepEqual(namesOf(entered), namesOf(roles));
  });
});

describe('each role of the overlay workers', () => {
  test('is a Deployment whose selector takes its own pods only, of which one at a time is taken away', () => {
    const deployments = ofKind(workers, 'Deployment');
    const budgets = ofKind(workers, 'PodDisruptionBudget');
    assert.equal(deployments.length, budgets.length);
    for (const { metadata, spec } of deployments) {
      const taken = namesOf(podsOf(workers).filter(({ labels }) => selects(spec?.selector, labels)));
      assert.deepEqual(taken, [metadata?.name?.replace('maskline-', '')]);
    }
    for (const { metadata, spec } of budgets) {
      const taken = namesOf(podsOf(workers).filter(({ labels }) => selects(spec?.selector, labels)));
      assert.deepEqual(taken, [metadata?.name?.replace('maskline-', '')]);
      assert.deepEqual([spec?.maxUnavailable, spec?.unhealthyPodEvictionPolicy], [1, 'AlwaysAllow']);
    }
  });

  test('serves its probes where the kubelet asks, and is not given up while it may still wait for a server', () => {
    for (const each of roles) {
      const { ports, env, startupProbe, livenessProbe, readinessProbe } = each.spec.containers[0] ?? {};
      // PORT is the image's.
      assert.deepEqual(ports, [{ name: 'http', containerPort: 9090 }], each.name);
      assert.ok(
        env?.some(({ name, value }) => name === 'HOST' && value === '0.0.0.0'),
        each.name,
      );
      assert.deepEqual(startupProbe?.httpGet, { path: '/livez', port: 'http' }, each.name);
      assert.deepEqual(livenessProbe?.httpGet, { path: '/livez', port: 'http' }, each.name);
      assert.deepEqual(readinessProbe?.httpGet, { path: '/readyz', port: 'http' }, each.name);
      const startMs = (startupProbe.periodSeconds ?? 10) * (startupProbe.failureThreshold ?? 3) * 1_000;
      assert.ok(startMs > (configIn(each, workers).config?.startupTimeoutMs ?? Infinity), each.name);
    }
  });

  test('may be scraped without credentials, as the PodMonitor does', () => {
    const [monitor] = ofKind(workers, 'PodMonitor');
    assert.deepEqual(
      monitor?.spec.podMetricsEndpoints.map(({ port, path }) => [port, path]),
      [['http', '/metrics']],
    );
    for (const each of roles) {
      assert.ok(selects(monitor.spec.selector, each.labels));
      assert.equal(configIn(each, workers).config?.admin.metricsPublic, true);
    }
    const [service] = ofKind(workers, 'Service');
    const behind = roles.filter(({ labels }) =>
      selects({ matchLabels: service?.spec?.selector ?? {} }, labels),
    );
    assert.deepEqual(namesOf(behind), ['admin']);
    assert.deepEqual(service?.spec?.ports, [{ name: 'http', port: 9090, targetPort: 'http' }]);
  });
});

describe('KEDA scales', () => {
  const scaled = ofKind(workers, 'ScaledObject');
  const pipeline = configIn(pod('ingest'), workers).config?.pipelines[0];

  test('what is there, leaves one of each, and is asked by nobody for the number of what it scales', () => {
    const targets = scaled.map(({ spec }) => spec.scaleTargetRef.name).sort();
    assert.deepEqual(targets, ['maskline-ingest', 'maskline-load', 'maskline-transform']);
    for (const { metadata, spec } of ofKind(workers, 'Deployment'))
      assert.equal(spec?.replicas, targets.includes(metadata?.name ?? '') ? undefined : 1);
    // `status` misses a role that is not there.
    for (const { spec } of scaled) assert.equal(spec.minReplicaCount, 1);
  });

  test('by the backlog of the stage, of which every process tells the whole', () => {
    for (const stage of ['transform', 'load']) {
      const found = scaled.find(({ metadata }) => metadata.name === `maskline-${stage}`);
      const queries = found?.spec.triggers.flatMap((each) =>
        each.type === 'prometheus' ? [each.metadata.query] : [],
      );
      assert.deepEqual(queries, [`sum(max by (pipeline) (${metricNames.backlog}{stage="${stage}"}))`]);
    }
  });

  test('by the queue that the pipeline reads, and to no more ingesters than SQS lets hold what they may', () => {
    const triggers = scaled.flatMap(({ spec }) =>
      spec.triggers.flatMap((each) => (each.type === 'aws-sqs-queue' ? [each] : [])),
    );
    assert.equal(triggers.length, 2);
    for (const { authenticationRef, metadata } of triggers) {
      assert.equal(metadata.queueURL, pipeline?.source.sqs.queues[0].queue);
      assert.ok(metadata.queueURL.includes(metadata.awsRegion));
      const found = ofKind(workers, 'TriggerAuthentication').map((each) => each.metadata.name);
      assert.ok(found.includes(authenticationRef.name));
    }
    const ingest = scaled.find(({ metadata }) => metadata.name === 'maskline-ingest')?.spec;
    const inFlight = pipeline?.limits.inFlight ?? Infinity;
    assert.equal(triggers[0]?.metadata.queueLength, String(inFlight));
    assert.ok((ingest?.maxReplicaCount ?? Infinity) * inFlight <= MAX_IN_FLIGHT);
  });
});
