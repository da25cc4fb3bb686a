import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Json } from '../support/cli.js';
import { A, B, CANARY, COLUMNS, TABLE, erase, event, loaded, rowsOf } from '../support/erasure.js';
import { type Deployment, type Stack, startStack } from '../support/stack.js';

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

/** What `prove` finds of the table, as kind, id of the record, and number of rows. */
async function found(deployment: Deployment): Promise<readonly unknown[]> {
  const { code, rows, stderr } = await deployment.cli.run(['prove'], {
    env: deployment.environmentOf('admin'),
  });
  const pipelines = rows[0]?.['pipelines'] as readonly {
    readonly differences: readonly Json[];
    readonly unchecked: readonly Json[];
  }[];
  const differences = pipelines.flatMap((one) => one.differences);
  assert.deepEqual(
    pipelines.flatMap((one) => one.unchecked),
    [],
  );
  assert.equal(code, differences.length === 0 ? 0 : 1, stderr);
  return differences.map(({ kind, expected, found: rowsFound }) => [kind, expected, rowsFound]);
}

for (const [keyed, column, difference] of [
  ['message id', { key: { from: '$message_id', type: 'text' } }, ['row_missing', 1, 0]],
  ['batch id', { key: { from: '$batch_id', type: 'uuid' } }, ['batch_rows_differ', 3, 2]],
  ['nothing', {}, ['row_count_differs', 3, 2]],
] as const) {
  test(`prove takes rows that were erased for no others and for no lost ones, where rows are told apart by ${keyed}`, async () => {
    const bodies = [A, B, A, B, B, A].map((user, i) => event(i + 1, user));
    const deployment = await loaded(stack, bodies, 0, { ...COLUMNS, ...column });
    assert.deepEqual(await found(deployment), []);
    const nulled = await erase(deployment, 'nobody');
    assert.equal(nulled.code, 0, nulled.stderr);
    const { code, rows, stderr } = await erase(deployment, A, ['--mode', 'delete']);
    assert.equal(code, 0, stderr);
    assert.equal(rows[0]?.['rows_deleted'], 3);
    const [noted] = await deployment.query(
      `select sum(e.rows)::int as rows, count(distinct r.seq)::int as records, min(r.outcome) as outcome
         from maskline.erased e join maskline.reveals r on r.seq = e.erasure and r.action = 'erase'`,
    );
    assert.deepEqual(noted, { rows: 3, records: 1, outcome: 'begun' });
    assert.deepEqual(await found(deployment), []);
    // Somebody deletes another row of the same batch.
    await deployment.query(`delete from ${TABLE} where n = 4`);
    assert.deepEqual(await found(deployment), [difference]);
    // Where it can be told, by no means another one's absence.
    await deployment.query(`insert into ${TABLE} select 4, 1, user_id, null, null, null, null, null, null, null${'key' in column ? ', key' : ''}
      from ${TABLE} where n = 5`);
    const kinds = (await found(deployment)).map((one) => (one as readonly unknown[])[0]);
    assert.deepEqual(
      kinds,
      'key' in column && column.key.from === '$message_id' ? ['row_missing', 'row_twice'] : [],
    );
  });
}

test('a value that a column keeps as it is does not get into the log of the server when it is erased', async () => {
  const kept = `${CANARY}-kept`;
  const columns = {
    ...COLUMNS,
    tags: { from: 'tags[*]', type: 'text[]' },
    deep: { from: 'deep', type: 'jsonb' },
  };
  const deployment = await loaded(
    stack,
    [
      event(1, B, { plain: kept }),
      event(2, B, { tags: ['x', kept] }),
      event(3, B, { deep: { a: [{ b: kept }] } }),
      event(4, B, { plain: `${kept}!`, tags: ['x'], deep: { a: 'x' } }),
    ],
    0,
    columns,
  );
  await deployment.query(`alter role maskline_owner set log_statement = 'all'`);
  const { code, rows, stderr } = await erase(deployment, kept);
  await deployment.query(`alter role maskline_owner reset log_statement`);
  assert.equal(code, 0, stderr);
  assert.equal(rows[0]?.['rows_nulled'], 3);
  assert.deepEqual(
    (await rowsOf(deployment)).map(({ n, plain, tags, deep }) => [n, plain, tags, deep]),
    [
      [1, null, null, null],
      [2, null, null, null],
      [3, null, null, null],
      [4, `${kept}!`, ['x'], { a: 'x' }],
    ],
  );
  const log = await stack.postgres.log();
  assert.match(log, /update "public"\."user_logins" as t set "plain" = null/, 'the log has the statements');
  assert.ok(!log.includes(kept));
});
