import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { test } from 'node:test';
import { type CheckedConfig, checkConfig } from '../../src/config/load.js';

const URL_OF_HOOK = 'https://hooks.example.com/T0/s3cr3t';

function check(notify: string, files: Readonly<{ [path: string]: string }> = {}): CheckedConfig {
  const text = `version: 1
notify: ${notify}
pipelines:
  logins: { columns: { user_id: { from: user_id } }, target: { table: logins } }
`;
  const env = { DATABASE_URL: 'postgres://app:pw@db/app', SQS_QUEUE_URL: 'logins' };
  return checkConfig({ file: 'maskline.yaml', env, read: (path) => files[path] ?? text });
}

test('the URL of the webhook may come from a file, prints as ***, and has defaults beside it', () => {
  const { config } = check('{ webhook: "${file:/run/secrets/hook}", headers: { authorization: s3cr3t } }', {
    '/run/secrets/hook': `${URL_OF_HOOK}\n`,
  });
  const notify = config?.notify;
  assert.equal(notify?.webhook.reveal(), URL_OF_HOOK);
  assert.equal(notify.headers['authorization']?.reveal(), 's3cr3t');
  assert.deepEqual(notify.on, ['breaker', 'overdue', 'quarantine']);
  assert.equal(notify.quarantineGrowth, 100);
  assert.doesNotMatch(inspect(config, { depth: 9 }) + JSON.stringify(config), /s3cr3t/);
});

test('without a webhook, or with an empty one, nobody is told', () => {
  for (const notify of ['{}', '{ webhook: "" }', '{ webhook: "${MISSING:-}", on: [breaker] }'])
    assert.equal(check(notify).config?.notify, null, notify);
});

test('what cannot work is refused with its place, and quotes nothing of a secret', () => {
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['{ webhook: "ftp://s3cr3t/" }', /notify\.webhook: must be a URL that begins with https/],
    ['{ webhook: "https://me:s3cr3t@hooks.example.com/" }', /notify\.webhook: must not hold a user/],
    [`{ webhook: "${URL_OF_HOOK}", headers: { "a b": x } }`, /notify\.headers\.a b: is no name of a header/],
    [
      `{ webhook: "${URL_OF_HOOK}", headers: { a: "s3cr3t\\nb: c" } }`,
      /notify\.headers\.a: must be printable/,
    ],
    [`{ webhook: "${URL_OF_HOOK}", on: [braker] }`, /notify\.on\.0: must be one of .*did you mean/],
    [`{ webhook: "${URL_OF_HOOK}", quarantine_growth: 0 }`, /must be a whole number from 1/],
  ];
  for (const [notify, message] of wrong) {
    const { config, problems } = check(notify);
    const text = problems.map((one) => `${one.path}: ${one.message}`).join('\n');
    assert.equal(config, null, notify);
    assert.match(text, message);
    assert.doesNotMatch(text, /s3cr3t/);
  }
});

test('http:// is doubtful but on this machine', () => {
  assert.match(check('{ webhook: "http://hooks.example.com/" }').problems[0]?.message ?? '', /http:\/\//);
  for (const host of ['127.0.0.1:80', 'localhost', '[::1]:8080'])
    assert.deepEqual(check(`{ webhook: "http://${host}/" }`).problems, []);
});
