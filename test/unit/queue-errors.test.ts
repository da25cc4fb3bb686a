import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ErrorCode, PipelineError } from '../../src/errors.js';
import { policies } from '../../src/policy.js';
import { storedText, verdictOn } from '../../src/queue/attempts.js';
import {
  type Backend,
  TimedOut,
  isConnectionLoss,
  queueError,
  within,
} from '../../src/queue/bullmq-errors.js';

function error(message: string, fields: { readonly name?: string; readonly code?: string } = {}): Error {
  return Object.assign(new Error(message), fields);
}

const SECRET = 'c4nary';

/** What the servers and drivers really say, with what must not be repeated worked in where they would quote. */
const cases: readonly [Backend, Error, ErrorCode][] = [
  ['redis', error('connect ECONNREFUSED 10.0.0.1:6379', { code: 'ECONNREFUSED' }), 'redis_unavailable'],
  ['redis', error('getaddrinfo ENOTFOUND redis', { code: 'ENOTFOUND' }), 'redis_unavailable'],
  ['redis', error('getaddrinfo EAI_AGAIN redis', { code: 'EAI_AGAIN' }), 'redis_unavailable'],
  ['redis', error('self-signed certificate', { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }), 'config_invalid'],
  ['redis', error(`no ${SECRET}`, { code: 'ERR_TLS_CERT_ALTNAME_INVALID' }), 'config_invalid'],
  ['redis', error('bad record mac', { code: 'ERR_SSL_BAD_RECORD_MAC' }), 'redis_unavailable'],
  [
    'redis',
    error(`All sentinels are unreachable and retry is disabled. Last error: connect ECONNREFUSED ${SECRET}`),
    'redis_unavailable',
  ],
  [
    'redis',
    error('All sentinels are unreachable and retry is disabled. Last error: WRONGPASS invalid'),
    'permission_denied',
  ],
  [
    'redis',
    error(
      `All sentinels are unreachable and retry is disabled. Last error: ERR No such master with that name`,
    ),
    'queue_unfit',
  ],
  [
    'redis',
    error(`ERR Error running script (call to f_1): @user_script:1: -READONLY You can't write. ${SECRET}`, {
      name: 'ReplyError',
    }),
    'redis_unavailable',
  ],
  ['redis', error('Connection is closed.'), 'redis_unavailable'],
  ['redis', error('Command timed out'), 'redis_unavailable'],
  ['redis', error("Stream isn't writeable and enableOfflineQueue options is false"), 'redis_unavailable'],
  [
    'redis',
    error('Reached the max retries per request limit', { name: 'MaxRetriesPerRequestError' }),
    'redis_unavailable',
  ],
  [
    'redis',
    error("OOM command not allowed when used memory > 'maxmemory'.", { name: 'ReplyError' }),
    'redis_unavailable',
  ],
  [
    'redis',
    error('LOADING Redis is loading the dataset in memory', { name: 'ReplyError' }),
    'redis_unavailable',
  ],
  [
    'redis',
    error("READONLY You can't write against a read only replica.", { name: 'ReplyError' }),
    'redis_unavailable',
  ],
  ['redis', error('WRONGPASS invalid username-password pair', { name: 'ReplyError' }), 'permission_denied'],
  [
    'redis',
    error(`NOPERM No permissions to access key ${SECRET}`, { name: 'ReplyError' }),
    'permission_denied',
  ],
  ['redis', error(`ERR unknown command '${SECRET}'`, { name: 'ReplyError' }), 'unexpected'],
  ['redis', error('Missing lock for job 0190-ab. moveToFinished'), 'contention'],
  ['redis', error('could not renew lock for job 0190-ab'), 'contention'],
  ['redis', new TypeError(`cannot read ${SECRET}`), 'unexpected'],
  ['postgres', error('connect ECONNREFUSED', { code: 'ECONNREFUSED' }), 'postgres_unavailable'],
  ['postgres', error('getaddrinfo EAI_AGAIN postgres', { code: 'EAI_AGAIN' }), 'postgres_unavailable'],
  ['postgres', error('Connection terminated unexpectedly'), 'postgres_unavailable'],
  ['postgres', error('timeout exceeded when trying to connect'), 'postgres_unavailable'],
  ['postgres', error('Query read timeout'), 'postgres_unavailable'],
  ['postgres', error('terminating connection', { code: '57P01' }), 'postgres_unavailable'],
  ['postgres', error('the database system is starting up', { code: '57P03' }), 'postgres_unavailable'],
  ['postgres', error('too many connections', { code: '53300' }), 'postgres_unavailable'],
  [
    'postgres',
    error('cannot execute INSERT in a read-only transaction', { code: '25006' }),
    'postgres_unavailable',
  ],
  ['postgres', error('The server does not support SSL connections'), 'config_invalid'],
  ['postgres', error('unable to verify', { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' }), 'config_invalid'],
  ['postgres', error(`SASL: client password must be a string ${SECRET}`), 'permission_denied'],
  ['postgres', error('deadlock detected', { code: '40P01' }), 'contention'],
  [
    'postgres',
    error(`password authentication failed for user "${SECRET}"`, { code: '28P01' }),
    'permission_denied',
  ],
  ['postgres', error('permission denied for schema', { code: '42501' }), 'permission_denied'],
  ['postgres', error('relation does not exist', { code: '42P01' }), 'schema_outdated'],
  ['postgres', error(`database "${SECRET}" does not exist`, { code: '3D000' }), 'queue_unfit'],
  ['postgres', error(`invalid input syntax for type json: ${SECRET}`, { code: '22P02' }), 'unexpected'],
];

describe('an error of the queue', () => {
  for (const [backend, driver, code] of cases) {
    test(`${backend}: ${driver.message} is ${code}, and says where`, () => {
      const wrapped = queueError(backend, 'example:1234', 'adding batch 0190-ab', driver);
      assert.equal(wrapped.code, code);
      assert.match(wrapped.message, /^adding batch 0190-ab: /);
      if (code !== 'contention' || backend === 'postgres') assert.match(wrapped.message, /example:1234/);
      assert.ok(!wrapped.message.includes(SECRET));
      assert.equal(wrapped.cause, driver);
    });
  }

  test('one of ours stays what it is', () => {
    const ours = new PipelineError('key_unavailable', 'no key 7');
    assert.equal(queueError('redis', 'example', 'adding', ours), ours);
  });

  test('what is no error is wrapped without being looked at', () => {
    assert.equal(queueError('redis', 'example', 'adding', SECRET).code, 'unexpected');
    assert.ok(!queueError('redis', 'example', 'adding', SECRET).message.includes(SECRET));
  });

  test('a refusal is no loss of the connection: it would come back at once', () => {
    for (const [, driver] of cases) {
      const refused =
        driver.name === 'ReplyError' ||
        /^[0-9][0-9A-Z]{4}$/.test('code' in driver ? String(driver.code) : '');
      if (refused) assert.equal(isConnectionLoss(driver), false, driver.message);
    }
    assert.equal(isConnectionLoss(new TimedOut(1)), true);
  });

  test('an answer in time is passed on, a late one is given up', async () => {
    assert.equal(await within(1_000, Promise.resolve(7)), 7);
    await assert.rejects(within(1_000, Promise.reject(new RangeError('own'))), RangeError);
    await assert.rejects(within(1, new Promise(() => undefined)), TimedOut);
  });
});

describe('what becomes of a batch whose handler threw', () => {
  test('follows the one table of errors', () => {
    for (const [code, { action }] of Object.entries(policies)) {
      const verdict = verdictOn(new PipelineError(code as ErrorCode, 'x'));
      if (code === 'payload_newer') assert.equal(verdict, 'put_back');
      else assert.equal(verdict, action === 'give_up' || action === 'stop' ? 'fail' : 'again', code);
    }
  });

  test('what is kept of the error is its code and message', () => {
    const kept = storedText(new PipelineError('contention', 'lock of batch 7', { cause: new Error(SECRET) }));
    assert.equal(kept, 'contention: lock of batch 7');
    assert.ok(!storedText(new Error(SECRET)).includes(SECRET));
    assert.ok(!storedText(SECRET).includes(SECRET));
  });
});
