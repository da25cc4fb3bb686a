import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertShows } from '../support/shown.js';

const PRINTED = `signups: succeeded in 2.2 s
  received 3 = loaded 3 + duplicates 0
 id  |         masked_email         | plan
-----+------------------------------+------
 s-1 | s1.3RErei2-jeof6SB0mTPLKG2t_ | free
 at 2026-11-22T05:44:51.896Z on 127.0.0.1:4711`;

test('what differs from run to run may differ: times, tokens, ports, durations, widths of tables', () => {
  assertShows(
    `signups: succeeded in 40 ms
id | masked_email | plan
---+--------------+---
s-1 | s1.lJm_PcGAYABaAutUdvQysOVd6W | free
at 2025-01-01T00:00:00Z on 127.0.0.1:9`,
    PRINTED,
  );
});

test('anything else may not: a count, a word, the order of lines, a token where there is none', () => {
  for (const wrong of [
    'received 3 = loaded 4 + duplicates 0',
    'signups: failed in 2.2 s',
    's-1 | ada@example.com | free',
    'received 3 = loaded 3 + duplicates 0\nsignups: succeeded in 2.2 s',
    's-1 | s1.3RErei2-jeof6SB0mTPLKG2t_ | free\ns-1 | s1.3RErei2-jeof6SB0mTPLKG2t_ | free',
  ]) {
    assert.throws(() => assertShows(wrong, PRINTED), /it does not show/, wrong);
  }
});
