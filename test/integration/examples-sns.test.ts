// examples/sns-to-sqs as it stands there, between real servers.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { parse } from 'yaml';
import { assertHas } from '../support/cli.js';
import { tokenOracle } from '../support/oracle.js';
import { type ConfigFile, type Deployment, type Stack, startStack } from '../support/stack.js';

const FILE = new URL('../../../examples/sns-to-sqs/maskline.yaml', import.meta.url);
const SHOPS = ['berlin', 'lisboa'];
const MESSAGES = 6;
const VIEWS = 40;

let stack: Stack;
let deployment: Deployment;
before(async () => {
  stack = await startStack();
  deployment = await stack.deployment({ ddl: null });
  const example = parse(readFileSync(FILE, 'utf8')) as ConfigFile;
  deployment.configure(({ keyring }) => ({ ...example, keyring }));
});
after(() => stack.stop());

const viewOf = (i: number) => ({
  id: `view-${i}`,
  page: `/p/${i % 7}`,
  visitor: {
    email: i % 2 === 0 ? `Jane.${i % 9}@Example.com` : `jane.${i % 9}@example.com`,
    ip: `198.51.100.${i % 200}`,
  },
});

/** As SNS delivers it: ("Parsing message formats", Amazon SNS Developer Guide). */
const notification = (Message: string, shop: string): string =>
  JSON.stringify({
    Type: 'Notification',
    MessageId: '22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324',
    TopicArn: 'arn:aws:sns:us-east-1:123456789012:page-views',
    Message,
    Timestamp: '2026-05-02T00:54:06.655Z',
    SignatureVersion: '1',
    MessageAttributes: { shop: { Type: 'String', Value: shop } },
  });

test('page views that come many in a message, compressed or not, are rows, and a broken one is quarantined alone', async () => {
  assert.equal((await deployment.cli.run(['migrate'])).code, 0);
  const views = Array.from({ length: MESSAGES * VIEWS }, (_, i) => viewOf(i));
  const shopOf = (message: number): string => SHOPS[message % SHOPS.length] ?? '';
  const ids = await deployment.send(
    Array.from({ length: MESSAGES }, (_, m) => {
      const lines = views.slice(m * VIEWS, (m + 1) * VIEWS).map((view) => JSON.stringify(view));
      const text = [...lines, m === 3 ? '{"id":"cut' : ''].join('\n');
      return notification(m % 2 === 0 ? gzipSync(text).toString('base64') : text, shopOf(m));
    }),
  );
  const { code, rows, stderr } = await deployment.cli.run(['drain']);
  assert.equal(code, 0, stderr);
  assertHas(rows[0], { received: views.length + 1, loaded: views.length, quarantined: 1, released: 0 });

  const master = deployment.masters().get(1);
  assert.ok(master);
  const expected = views.map(({ id, page, visitor }, i) => {
    const message = Math.floor(i / VIEWS);
    return {
      view_id: id,
      shop: shopOf(message),
      page,
      visitor: tokenOracle(master, 1, 'hmac', 'email', 'text', visitor.email.toLowerCase()),
      network: '198.51.100.0',
      message_id: ids[message],
    };
  });
  const loaded = await deployment.query('select * from public.page_views order by substr(view_id, 6)::int');
  assert.deepEqual(loaded, expected);
  assert.deepEqual(await deployment.query('select record_id, code from maskline.quarantine'), [
    { record_id: `${ids[3]}#${VIEWS}`, code: 'not_json' },
  ]);
  assert.equal((await deployment.cli.run(['prove'])).code, 0);
});
