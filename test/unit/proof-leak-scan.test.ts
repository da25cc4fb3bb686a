import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { LeakScan, inflatedParts } from '../../src/proof/leak-scan.js';

const dir = mkdtempSync(join(tmpdir(), 'maskline-leak-scan-'));
after(() => rmSync(dir, { recursive: true, force: true }));

const SECRET = 'canary 7f3a/é&b2';
const scan = new LeakScan({ secret: SECRET, address: Buffer.from('20010db8c0ffee01', 'hex') });
const bytes = Buffer.from(SECRET);

for (const [encoding, hidden] of [
  ['clear', bytes],
  ['utf-16', Buffer.from(SECRET, 'utf16le')],
  ['hex', bytes.toString('hex')],
  ['HEX', bytes.toString('hex').toUpperCase()],
  ['url', encodeURIComponent(SECRET)],
  ['base64', bytes.toString('base64')],
  ['base64 behind one byte', Buffer.concat([Buffer.from('x'), bytes]).toString('base64')],
  ['base64 behind two bytes', Buffer.concat([Buffer.from('xy'), bytes]).toString('base64')],
  ['base64url', bytes.toString('base64url')],
] as const) {
  test(`a value is found behind its encoding, in a large content too: ${encoding}`, () => {
    const content = Buffer.concat([Buffer.from('before '), Buffer.from(hidden), Buffer.from(' after')]);
    const found = scan.scan('here', content);
    assert.ok(found.length > 0);
    assert.ok(found.every(({ canary, where }) => canary === 'secret' && where === 'here'));
    // Large contents are searched in another way.
    assert.deepEqual(scan.scan('here', Buffer.concat([Buffer.alloc(100_000, 'Canary 7f3'), content])), found);
  });
}

test('bytes that are no text are found in clear, in hex and in base64', () => {
  const address = Buffer.from('20010db8c0ffee01', 'hex');
  for (const hidden of [address, address.toString('hex'), address.toString('base64')]) {
    assert.equal(scan.scan('here', hidden)[0]?.canary, 'address');
  }
});

test('what is not there is not found', () => {
  const other = `${SECRET.toUpperCase()} `.repeat(10_000);
  assert.deepEqual(scan.scan('here', other), [], 'case counts');
  assert.deepEqual(scan.scan('here', 'canary 7f3a, but no more of it'), []);
});

test('a value across the border of two chunks of a large file is found, once', async () => {
  const chunk = 4 * 2 ** 20;
  const content = Buffer.alloc(chunk + 1_000, '.');
  bytes.copy(content, chunk - 5);
  mkdirSync(join(dir, 'deep', 'er'), { recursive: true });
  const path = join(dir, 'deep', 'er', 'large');
  writeFileSync(path, content);
  writeFileSync(join(dir, 'harmless'), 'nothing');
  assert.deepEqual(await scan.scanTree(dir), [{ canary: 'secret', encoding: 'clear', where: path }]);
  assert.deepEqual(await scan.scanTree(dir, (file) => file === path), []);
});

test('a value that was deflated behind a nonce comes out again', () => {
  const payload = Buffer.concat([Buffer.alloc(12, 7), deflateRawSync(`{"device":"${SECRET}"}`)]);
  const parts = [...inflatedParts(JSON.stringify({ data: payload.toString('base64') }))];
  assert.ok(parts.some((part) => scan.scan('part', part).length > 0));
});
