import assert from 'node:assert/strict';
import { test } from 'node:test';
import { queueAddress } from '../../src/source/queue-address.js';

const none = { url: null, account: null, region: null, endpoint: null };

test('an ARN gives name, account and region, in every partition', () => {
  assert.deepEqual(queueAddress('arn:aws:sqs:eu-west-1:123456789012:login-queue.fifo'), {
    ...none,
    name: 'login-queue.fifo',
    account: '123456789012',
    region: 'eu-west-1',
  });
  assert.equal(queueAddress('arn:aws-us-gov:sqs:us-gov-west-1:123456789012:q').region, 'us-gov-west-1');
});

test('a name stays a name', () => {
  assert.deepEqual(queueAddress('login-queue'), { ...none, name: 'login-queue' });
  assert.deepEqual(queueAddress('arn:aws:sns:eu-west-1:123456789012:topic').url, null);
});

test("a URL on AWS's public host gives its region and leaves the endpoint to the SDK", () => {
  for (const host of ['sqs.eu-central-1.amazonaws.com', 'sqs.cn-north-1.amazonaws.com.cn']) {
    const url = `https://${host}/123456789012/q`;
    const region = host.split('.')[1];
    assert.deepEqual(queueAddress(url), { ...none, url, name: 'q', region });
  }
});

test('any other URL is an endpoint of its own: emulators, VPC endpoints, FIPS, the legacy hosts', () => {
  for (const origin of [
    'http://127.0.0.1:4566',
    'https://vpce-0a1b.sqs.eu-west-1.vpce.amazonaws.com',
    'https://sqs-fips.us-east-1.amazonaws.com',
    'https://queue.amazonaws.com',
  ]) {
    const url = `${origin}/000000000000/q`;
    assert.deepEqual(queueAddress(url), { ...none, url, name: 'q', endpoint: origin });
  }
});
