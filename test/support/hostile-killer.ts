// A masker that ends its process for marked bodies, for real: SIGKILL, as the kernel does it to what runs out of memory.

import { writeSync } from 'node:fs';
import type { Masker } from '../../src/masking/mask.js';

/** Ends every process that masks it. */
export const KILLER = 'kills its worker';
/** Holds a worker that was told to hold until it is killed from outside; any other process masks it. */
export const HOLDER = 'holds its worker';

const STDOUT = 1;

/** The masker, but for marked bodies. */
export function deadly(masker: Masker, holds: readonly string[] = []): Masker {
  return {
    mask: (batch) => {
      for (const { body, rejected } of batch.records) {
        if (rejected !== undefined) continue;
        if (body.includes(KILLER)) end();
        const held = holds.find((mark) => body.includes(`${HOLDER} ${mark}`));
        if (held !== undefined) hold(held, batch.records.length);
      }
      return masker.mask(batch);
    },
  };
}

function end(): never {
  process.kill(process.pid, 'SIGKILL');
  for (;;);
}

/** Says what holds it, and out of how many records; then does nothing else for ever. */
function hold(mark: string, records: number): never {
  writeSync(STDOUT, `held by ${mark} of ${records}\n`);
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}
