// The policies of deploy/iam, and which calls of AWS they allow.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './kustomize.js';

/** Of a policy. */
export interface Statement {
  readonly Sid: string;
  readonly Effect: string;
  readonly Action: string | readonly string[];
  readonly Resource: string;
  readonly Condition?: { readonly StringEquals: { readonly [key: string]: string } };
}

const FOLDER = join(ROOT, 'deploy/iam');
/** The policies of deploy/iam, by their name. */
export const policies: { readonly [name: string]: readonly Statement[] } = Object.fromEntries(
  readdirSync(FOLDER)
    .filter((file) => file.endsWith('.json'))
    .map((file) => {
      const policy = JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as {
        readonly Version: string;
        readonly Statement: readonly Statement[];
      };
      assert.deepEqual(Object.keys(policy), ['Version', 'Statement'], file);
      assert.equal(policy.Version, '2012-10-17', file);
      return [file.replace('.json', ''), policy.Statement];
    }),
);

/**
 * The rights that a call takes: AWS, Service Authorization Reference, "Actions, resources, and condition keys" of Amazon
 * SQS, Amazon S3 and AWS KMS; for the batch calls, Amazon SQS Developer Guide, "Amazon SQS API permissions".
 */
export const RIGHTS: { readonly [call: string]: readonly string[] } = {
  ReceiveMessage: ['sqs:ReceiveMessage'],
  DeleteMessage: ['sqs:DeleteMessage'],
  DeleteMessageBatch: ['sqs:DeleteMessage'],
  ChangeMessageVisibility: ['sqs:ChangeMessageVisibility'],
  ChangeMessageVisibilityBatch: ['sqs:ChangeMessageVisibility'],
  GetQueueAttributes: ['sqs:GetQueueAttributes'],
  GetQueueUrl: ['sqs:GetQueueUrl'],
  SendMessageBatch: ['sqs:SendMessage'],
  // A version of an object takes a right of its own.
  GetObject: ['s3:GetObject', 's3:GetObjectVersion'],
  HeadBucket: ['s3:ListBucket'],
  Decrypt: ['kms:Decrypt'],
  GenerateDataKey: ['kms:GenerateDataKey'],
};
/** The actions that a statement allows. */
export function actionsOf({ Action }: Statement): readonly string[] {
  return typeof Action === 'string' ? [Action] : Action;
}

/** Whether who has that policy may make the call, whatever it is for. */
export function allows(policy: string, call: string): boolean {
  const granted = (policies[policy] ?? []).flatMap(actionsOf);
  const rights = RIGHTS[call];
  return rights !== undefined && rights.every((right) => granted.includes(right));
}
