import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import type { ErrorCode } from '../../src/errors.js';
import { type Place, RowRefused, asPostgresError, refusesRow } from '../../src/load/postgres-error.js';

const CANARY = 'c4naryq7zx';
const target: Place = { kind: 'target', table: 'public.events', columns: ['name', 'n'] };

/** As pg's DatabaseError: every field that could quote a row does. */
function serverError(code: string, fields: Readonly<{ [name: string]: string }> = {}): Error {
  return Object.assign(new Error(`value ${CANARY} is bad`), {
    severity: 'ERROR',
    code,
    detail: `Key (name)=(${CANARY}) already exists.`,
    hint: CANARY,
    where: `COPY events, line 3, column name: "${CANARY}"`,
    internalQuery: CANARY,
    ...fields,
  });
}

const everything = (error: Error): string =>
  inspect(error, { depth: 9, showHidden: true }) +
  JSON.stringify(error) +
  error.message +
  (error.stack ?? '');

// SQLSTATE by SQLSTATE, after the guarantees: whose error is it?
const onTarget: readonly [string, ErrorCode | 'row'][] = [
  ...[
    '22001',
    '22003',
    '22007',
    '22P02',
    '22P04',
    '22021',
    '23502',
    '23503',
    '23505',
    '23514',
    '23P01',
    'P0001',
  ].map((state): [string, 'row'] => [state, 'row']),
  ...['40P01', '40001', '55P03'].map((state): [string, ErrorCode] => [state, 'contention']),
  ...['08006', '08P01', '53100', '53200', '53300', '57014', '57P01', '57P02', '57P03', '58030', '25006'].map(
    (state): [string, ErrorCode] => [state, 'postgres_unavailable'],
  ),
  ...['42501', '28000', '28P01'].map((state): [string, ErrorCode] => [state, 'permission_denied']),
  ...['42P01', '42703', '42804', '3D000', '3F000', '0A000', '55000'].map((state): [string, ErrorCode] => [
    state,
    'table_unfit',
  ]),
  ...['XX000', 'P0002', '25P02', '21000'].map((state): [string, ErrorCode] => [state, 'unexpected']),
];

for (const [state, whose] of onTarget) {
  test(`SQLSTATE ${state} on the target is ${whose}, and quotes nothing of the row`, () => {
    const mapped = asPostgresError(serverError(state), target);
    assert.equal(mapped instanceof RowRefused ? 'row' : mapped.code, whose);
    assert.match(mapped.message, new RegExp(state));
    assert.doesNotMatch(everything(mapped), new RegExp(CANARY));
    assert.equal(refusesRow(state), whose === 'row');
  });
}

test("the same states on maskline's own tables are never a row's fault", () => {
  const code = (state: string): unknown => {
    const mapped = asPostgresError(serverError(state));
    return mapped instanceof RowRefused ? 'row' : mapped.code;
  };
  assert.deepEqual(['22001', '23505', '23514', '42P01', '42883', '3F000'].map(code), [
    'unexpected',
    'unexpected',
    'contention',
    'schema_outdated',
    'schema_outdated',
    'schema_outdated',
  ]);
});

test('a refused row tells its line and column, of the configured ones only', () => {
  const fault = (where: string): unknown => {
    const mapped = asPostgresError(serverError('22P02', { where }), target);
    assert.ok(mapped instanceof RowRefused);
    return [mapped.fault.line, mapped.fault.column];
  };
  assert.deepEqual(fault('COPY events, line 3, column name: "x"'), [3, 'name']);
  assert.deepEqual(fault('COPY events, line 41: "a\tb"'), [41, null]);
  assert.deepEqual(fault('COPY events, line 7'), [7, null]);
  assert.deepEqual(fault(`COPY events, line 7, column ${CANARY}: "x"`), [7, null]);
  assert.deepEqual(fault('PL/pgSQL function veto() line 2 at RAISE\nCOPY events, line 12: "x"'), [12, null]);
  assert.deepEqual(fault('SQL statement "select 1"'), [null, null]);
});

test('an error without a SQLSTATE is known by its kind, and its text withheld', () => {
  const cases: readonly [Error, ErrorCode][] = [
    [
      Object.assign(new Error(`connect ECONNREFUSED ${CANARY}`), { code: 'ECONNREFUSED' }),
      'postgres_unavailable',
    ],
    [Object.assign(new AggregateError([], CANARY), { code: 'ECONNREFUSED' }), 'postgres_unavailable'],
    [Object.assign(new Error(CANARY), { code: 'EPIPE' }), 'postgres_unavailable'],
    [new Error('Connection terminated unexpectedly'), 'postgres_unavailable'],
    [new Error('Query read timeout'), 'postgres_unavailable'],
    [new Error('timeout exceeded when trying to connect'), 'postgres_unavailable'],
    [new Error('Client has encountered a connection error and is not queryable'), 'postgres_unavailable'],
    [new Error('Cannot use a pool after calling end on the pool'), 'canceled'],
    [new Error('The server does not support SSL connections'), 'config_invalid'],
    [Object.assign(new Error(CANARY), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }), 'config_invalid'],
    [Object.assign(new Error(CANARY), { code: 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA' }), 'config_invalid'],
    [Object.assign(new Error(CANARY), { code: 'ERR_SSL_BAD_RECORD_MAC' }), 'postgres_unavailable'],
    [Object.assign(new Error(CANARY), { code: 'ERR_TLS_HANDSHAKE_TIMEOUT' }), 'postgres_unavailable'],
    [new Error(`SASL: ${CANARY}`), 'permission_denied'],
    [new TypeError(`can't read ${CANARY}`), 'unexpected'],
    [Object.assign(new TypeError(CANARY), { code: 'ERR_INVALID_ARG_TYPE' }), 'unexpected'],
  ];
  for (const [error, code] of cases) {
    const mapped = asPostgresError(error, target);
    assert.equal(mapped instanceof RowRefused ? 'row' : mapped.code, code, error.message);
    assert.doesNotMatch(everything(mapped), new RegExp(CANARY));
  }
});

test('an unexpected error keeps where it was thrown', () => {
  const mapped = asPostgresError(new TypeError(CANARY));
  assert.match(everything(mapped), /load-error\.test/);
});
