import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEnvironment } from '../../src/roles/environment.js';

test('the key-encryption key leaves the environment once it is read, and is in no copy of it', () => {
  const env = { MASKLINE_KEK: 'c2VjcmV0', PORT: '0' };
  const environment = readEnvironment(env);
  assert.equal(environment.kek, 'c2VjcmV0');
  assert.equal('MASKLINE_KEK' in env, false);
  assert.equal('MASKLINE_KEK' in environment.variables, false);
  assert.equal(environment.port, '0');
});

test('an empty variable is an absent one', () => {
  const environment = readEnvironment({ MASKLINE_KEK: '', HOST: '', LOG_LEVEL: '' });
  assert.deepEqual(
    [environment.kek, environment.host, environment.logLevel, environment.port],
    [null, null, null, null],
  );
});

test('credentials need both a user and a password', () => {
  assert.equal(readEnvironment({ MASKLINE_ADMIN_USER: 'a' }).credentials, null);
  assert.deepEqual(readEnvironment({ MASKLINE_ADMIN_USER: 'a', MASKLINE_ADMIN_PASSWORD: 'b' }).credentials, {
    user: 'a',
    password: 'b',
  });
});
