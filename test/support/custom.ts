// Maskers in files of their own, as users write them.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { systemClock } from '../../src/clock.js';
import { readCustomFiles } from '../../src/masking/custom-files.js';
import type { CustomSettings } from '../../src/masking/custom.js';
import { type Masking, compileMasker } from '../../src/masking/mask.js';
import type { ColumnSpec, CustomMask } from '../../src/masking/methods.js';
import { batchOf, column, policyOf, testKeyring } from './masking.js';

/** A folder with files of that content; to be removed by `remove`. */
export class MaskerFolder {
  readonly path = mkdtempSync(path.join(tmpdir(), 'maskline-maskers-'));

  /** Writes a file, in a folder below if its name says so, and returns its name. */
  write(name: string, text: string): string {
    const file = path.join(this.path, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
    return name;
  }

  /** The mask of a pipeline file in this folder that names that file. */
  mask(file: string, options: Partial<CustomMask> = {}): CustomMask {
    const read = readCustomFiles(path.join(this.path, file));
    assert.ok('sha256' in read, 'the file is there');
    const { sha256 } = read;
    return { method: 'custom', file, sha256, export: 'default', options: {}, timeoutMs: 2_000, ...options };
  }

  /** What columns make of bodies; each column masks the field of its name unless it says otherwise. */
  run(
    columns: readonly ColumnSpec[],
    bodies: readonly string[],
    settings: CustomSettings = { blockMs: 60_000 },
  ): Masking {
    const policy = policyOf(columns, { folder: this.path });
    return compileMasker(policy, testKeyring(), systemClock, settings).mask(batchOf(bodies));
  }

  /** What a masker makes of the values of one column `v`: what is stored, or the code of a rejection. */
  maskAll(
    mask: CustomMask,
    values: readonly unknown[],
    options: Partial<ColumnSpec> = {},
  ): readonly unknown[] {
    const { masked } = this.run(
      [column('i', { type: 'integer' }), column('v', { mask, ...options })],
      values.map((v, i) => JSON.stringify({ i, v })),
    );
    const outcomes = new Map<number, unknown>();
    for (const line of masked.rows
      .toString('utf8')
      .split('\n')
      .filter((text) => text !== '')) {
      const [i = '', cell = ''] = line.split('\t');
      outcomes.set(Number(i), cell === '\\N' ? null : cell);
    }
    for (const { message, code, path: from } of masked.rejections) {
      assert.equal(from, 'v');
      outcomes.set(message, { code });
    }
    return values.map((_, i) => outcomes.get(i));
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
