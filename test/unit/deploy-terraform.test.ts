import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { checkConfig } from '../../src/config/load.js';
import { STOP_DEADLINE_MS } from '../../src/roles/role.js';
import { assertCommandLine } from '../support/command-lines.js';
import { ROOT } from '../support/kustomize.js';
import { type Module, TERRAFORM, readModule } from '../support/terraform.js';

const ROLES = ['admin', 'ingest', 'load', 'transform'];
/** SQS: "Amazon SQS message quotas", Amazon SQS Developer Guide. */
const MAX_RETENTION_S = 1_209_600;
const MAX_IN_FLIGHT = 120_000;
const DAY_S = 86_400;
/** What Fargate has: MiB by CPU units (Amazon ECS Developer Guide, "Task CPU and memory"). */
const FARGATE: { readonly [cpu: number]: readonly number[] } = {
  256: [512, 1024, 2048],
  512: [1024, 2048, 3072, 4096],
  1024: [2048, 3072, 4096, 5120, 6144, 7168, 8192],
};

interface Size {
  readonly cpu: number;
  readonly memory: number;
  readonly min: number;
  readonly max: number;
}

let module: Module;
before(async () => {
  module = await readModule();
});

function local(name: string): unknown {
  assert.ok(module.locals.has(name), name);
  return module.locals.get(name);
}

function argument(resource: string, name: string): unknown {
  const block = module.resources.get(resource);
  assert.ok(block, resource);
  return block[name];
}

/** The number behind `name =` where it stands once. */
function numberOf(name: string): number {
  const found = [...module.text.matchAll(new RegExp(`\\b${name}\\s+= (\\d+)`, 'g'))];
  assert.equal(found.length, 1, name);
  return Number(found[0]?.[1]);
}

/** The configuration of the module as a process of the role finds it. */
function configOf(role: string): ReturnType<typeof checkConfig> {
  const values: { readonly [name: string]: string } = {
    AWS_REGION: 'us-east-1',
    DATABASE_URL: 'postgres://maskline:secret@db.example.com:5432/events',
    KEYRING_KEY_ARN: 'arn:aws:kms:us-east-1:111122223333:key/22222222-2222-2222-2222-222222222222',
    REDIS_URL: 'rediss://maskline:secret@redis.example.com:6379/0',
    SQS_QUEUE_URL: 'https://sqs.us-east-1.amazonaws.com/111122223333/maskline',
  };
  const secrets = Object.keys((local('secrets_of') as { [role: string]: object })[role] ?? {});
  const names = [...Object.keys(local('environment') as object), ...secrets];
  const env = Object.fromEntries(names.map((name) => [name, values[name]]));
  return checkConfig({ file: join(TERRAFORM, 'maskline.yaml'), env });
}

describe('the Terraform module', () => {
  test('refers to nothing that it does not define, and defines nothing that it does not use', () => {
    const { text, variables, locals, resources } = module;
    const named = (kind: string): ReadonlySet<string> =>
      new Set([...text.matchAll(new RegExp(`\\b${kind}\\.(\\w+)`, 'g'))].map(([, name = '']) => name));
    assert.deepEqual(named('var'), new Set(variables.keys()));
    assert.deepEqual(named('local'), new Set(locals.keys()));
    const found = text.matchAll(/\b(?<!")((?:data\.)?aws_\w+)\.(\w+)/g);
    const referred = new Set([...found].map(([, type, name]) => `${type}.${name}`));
    for (const name of referred) assert.ok(resources.has(name), name);
    for (const name of resources.keys()) if (name.startsWith('data.')) assert.ok(referred.has(name), name);
  });

  test('says what each variable and output is', () => {
    for (const [name, { description, type }] of module.variables)
      assert.ok(/^[A-Z].*[.?]$/.test(String(description)) && type, name);
    for (const [name, { description }] of module.outputs)
      assert.match(String(description), /^[A-Z].*\.$/, name);
  });

  test('is formatted as Terraform does it, where that is installed', () => {
    const { status, stdout } = spawnSync('terraform', ['fmt', '-check', TERRAFORM], { encoding: 'utf8' });
    if (status !== null) assert.equal(status, 0, stdout);
  });

  test('keeps dead letters longer than the queue keeps its messages, and that shorter than the ledger', () => {
    const retentionS = Number(module.variables.get('retention_seconds')?.['default']);
    const { config } = configOf('ingest');
    assert.ok(config && (retentionS + DAY_S) * 1_000 <= config.retention.ledgerMs);
    assert.equal(argument('aws_sqs_queue.dead_letters', 'message_retention_seconds'), MAX_RETENTION_S);
    assert.ok(retentionS < MAX_RETENTION_S);
    assert.equal(argument('aws_sqs_queue.events', 'message_retention_seconds'), '${var.retention_seconds}');
    // What an outage, a crash and a deployment may cost, and as much again.
    assert.equal(module.variables.get('max_receive_count')?.['default'], 6);
    assert.match(String(argument('aws_sqs_queue.events', 'redrive_policy')), /var\.max_receive_count/);
  });

  test('encrypts both queues by a key of their own, and refuses them to who comes without TLS', () => {
    for (const queue of ['events', 'dead_letters'])
      assert.equal(argument(`aws_sqs_queue.${queue}`, 'kms_master_key_id'), '${aws_kms_key.queue.arn}');
    assert.match(
      String(argument('aws_sqs_queue_policy.tls', 'policy')),
      /Deny[^]*"aws:SecureTransport" = "false"/,
    );
    for (const key of ['queue', 'keyring'])
      assert.equal(argument(`aws_kms_key.${key}`, 'enable_key_rotation'), true);
  });

  test('grants each role the policies of deploy/iam that it needs, each for a resource of this deployment', () => {
    const granted = local('role_policies') as { [role: string]: string[] };
    assert.deepEqual(granted, {
      ingest: ['ingest', 'keyring'],
      transform: ['keyring'],
      load: ['keyring'],
      admin: ['admin'],
      migrate: [],
    });
    const statements = ['ingest', 'keyring', 'admin'].flatMap((name) => {
      const text = readFileSync(join(ROOT, `deploy/iam/${name}.json`), 'utf8');
      return (JSON.parse(text) as { Statement: { Sid: string; Condition?: object }[] }).Statement;
    });
    const resources = local('resources') as { [sid: string]: string };
    assert.deepEqual(new Set(Object.keys(resources)), new Set(statements.map(({ Sid }) => Sid)));
    assert.equal(resources['DecryptMessages'], '${aws_kms_key.queue.arn}');
    assert.equal(resources['OpenKeyring'], '${aws_kms_key.keyring.arn}');
    const readFrom = /for name in (\[.*?\]) :/.exec(String(module.locals.get('policies')))?.[1] ?? '[]';
    assert.deepEqual(JSON.parse(readFrom), [...new Set(Object.values(granted).flat())].sort());
    // The region of a condition is that of the deployment.
    const regional = statements.filter(({ Condition }) =>
      JSON.stringify(Condition ?? '').includes('us-east-1'),
    );
    assert.deepEqual(
      Object.keys(local('conditions') as object),
      regional.map(({ Sid }) => Sid),
    );
  });

  test('alarms when messages wait, when SQS has given any up, and when a role is gone', () => {
    const metrics = [...module.resources]
      .filter(([name]) => name.startsWith('aws_cloudwatch_metric_alarm.'))
      .map(([name, block]) => [name.split('.')[1], block['metric_name'], block['treat_missing_data']]);
    assert.deepEqual(metrics, [
      ['absent', 'RunningTaskCount', 'breaching'],
      ['age', 'ApproximateAgeOfOldestMessage', 'notBreaching'],
      ['dead_letters', 'ApproximateNumberOfMessagesVisible', 'notBreaching'],
    ]);
    assert.match(module.text, /containerInsights"\s+value = "enabled"/);
  });
});

describe('the tasks of Fargate', () => {
  test('have a command line that the program takes', async () => {
    const commands = local('commands') as { [role: string]: string[] };
    assert.deepEqual(Object.keys(commands).sort(), [...ROLES, 'migrate'].sort());
    for (const words of Object.values(commands)) await assertCommandLine(words);
  });

  test('find a configuration without errors or warnings in what they are given', () => {
    for (const role of [...ROLES, 'migrate']) assert.deepEqual(configOf(role).problems, [], role);
  });

  test('are given secrets that there are, each role its own login, and the keyring only to who has its key', () => {
    const secrets = local('secrets_of') as { [role: string]: { [name: string]: string } };
    const there = String(module.locals.get('secrets')).match(/[a-z]+(?:-[a-z]+)+|\bkeyring\b/g);
    assert.deepEqual(new Set(Object.values(secrets).flatMap((each) => Object.values(each))), new Set(there));
    for (const [role, { DATABASE_URL, KEYRING }] of Object.entries(secrets)) {
      assert.equal(DATABASE_URL, `database-url-${role}`);
      assert.equal(
        KEYRING !== undefined,
        (local('role_policies') as { [role: string]: string[] })[role]?.includes('keyring'),
      );
    }
  });

  test('get maskline.yaml and the keyring as they are, byte by byte', () => {
    const folder = mkdtempSync(join(tmpdir(), 'maskline-fargate-'));
    try {
      const both = (local('write_both') as string).replace(
        '${local.write_config}',
        String(local('write_config')),
      );
      const given = {
        CONFIG: "url: '${DATABASE_URL}'\n# 100 %s \\n $HOME `id`\n",
        KEYRING: '{ "a": "\\\\" }\n',
      };
      const { status } = spawnSync('sh', ['-euc', both.replaceAll('/etc/maskline', folder)], { env: given });
      assert.equal(status, 0);
      assert.equal(readFileSync(join(folder, 'maskline.yaml'), 'utf8'), given.CONFIG);
      assert.equal(readFileSync(join(folder, 'keyring.json'), 'utf8'), given.KEYRING);
      const { MASKLINE_CONFIG, MASKLINE_KEYRING } = local('environment') as { [name: string]: string };
      for (const path of [MASKLINE_CONFIG, MASKLINE_KEYRING]) assert.ok(both.includes(`>${path}`), path);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('have more time to stop than they take, to start than they may wait, and a health check that the image has', () => {
    assert.ok(numberOf('stopTimeout') * 1_000 > STOP_DEADLINE_MS);
    assert.ok(numberOf('startPeriod') * 1_000 > (configOf('ingest').config?.startupTimeoutMs ?? Infinity));
    const [, file = ''] = /"CMD", "node", "([^"]+)"/.exec(module.text) ?? [];
    assert.match(
      readFileSync(join(ROOT, 'Dockerfile'), 'utf8'),
      new RegExp(`^COPY ${file} \\./${file}$`, 'm'),
    );
  });

  test('write nowhere, are not root but for who writes their files, and keep no capability', () => {
    const hardened = local('hardened') as { readonlyRootFilesystem: boolean; linuxParameters: object };
    assert.equal(hardened.readonlyRootFilesystem, true);
    assert.deepEqual(hardened.linuxParameters, { initProcessEnabled: true, capabilities: { drop: ['ALL'] } });
    const containers = String(argument('aws_ecs_task_definition.this', 'container_definitions'));
    assert.equal(containers.match(/merge\(local\.hardened, \{/g)?.length, 2);
    assert.deepEqual(
      [...containers.matchAll(/user\s+= "([^"]+)"/g)].map(([, user]) => user),
      ['0', '1000:1000'],
    );
  });

  test('have sizes that Fargate has, and scale to no more ingesters than SQS lets hold what they may', () => {
    const sizes = module.variables.get('tasks')?.['default'] as { [role: string]: Size };
    assert.deepEqual(Object.keys(sizes).sort(), ROLES);
    for (const [role, { cpu, memory, min, max }] of Object.entries(sizes)) {
      assert.ok(FARGATE[cpu]?.includes(memory), role);
      assert.ok(min >= 1 && max >= min, role);
    }
    const inFlight = configOf('ingest').config?.pipelines[0]?.limits.inFlight ?? Infinity;
    assert.equal(local('messages_per_ingester'), inFlight);
    assert.ok((sizes['ingest']?.max ?? Infinity) * inFlight <= MAX_IN_FLIGHT);
  });
});
