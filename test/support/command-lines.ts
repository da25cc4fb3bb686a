// Command lines that stand in recipes and documents, put to the program itself.

import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { runCommandLine } from '../../src/cli/entry.js';

/** Where no configuration is: a command that gets as far as reading it has understood its words. */
const NOWHERE = '/nonexistent/maskline.yaml';

/** Fails unless the program takes the words, `maskline` left out, with all of their options and values. */
export async function assertCommandLine(words: readonly string[]): Promise<void> {
  let said = '';
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      said += chunk.toString();
      done();
    },
  });
  const code = await runCommandLine(['node', 'maskline', ...words], {
    env: { MASKLINE_CONFIG: NOWHERE },
    stdout: stream,
    stderr: stream,
  });
  assert.equal(code, 2, said);
  assert.ok(said.includes(`${NOWHERE}:1:1 cannot be read`), `maskline ${words.join(' ')}: ${said}`);
}
