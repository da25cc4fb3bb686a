import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { Batch } from '../batch.js';
import { systemClock } from '../clock.js';
import { kekFromEnv } from '../masking/kek.js';
import { createKeyring } from '../masking/keyring-file.js';
import { Keyring } from '../masking/keyring.js';
import { type Masker, compileMasker } from '../masking/mask.js';
import type { ColumnPolicy } from '../masking/methods.js';
import { candidateTokens } from '../masking/vault.js';

/** Whether masking a batch of one record ends the process that does it. False too when that can't be told. */
export type Probe = (batch: Batch, hardStop: AbortSignal) => Promise<boolean>;

/** What a probing process is given. */
interface Suspicion {
  readonly policy: ColumnPolicy;
  readonly batch: Batch;
}

const ENTRY = fileURLToPath(new URL('../../workers/suspect.js', import.meta.url));

/** Masking takes milliseconds and starting a process a second at most, so what takes longer hangs. */
const LIMIT_MS = 30_000;
const KEK_BYTES = 32;

/** Lets a process of its own, with the same memory limits, mask the record, and looks whether it survives. */
export function processProbe(policy: ColumnPolicy, entry: string = ENTRY, limitMs: number = LIMIT_MS): Probe {
  return async (batch, hardStop) => {
    // Of the environment only what limits memory: a process that may crash gets no secrets.
    const { NODE_OPTIONS } = process.env;
    const child = spawn(process.execPath, [...process.execArgv, entry], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: NODE_OPTIONS === undefined ? {} : { NODE_OPTIONS },
      timeout: limitMs,
      killSignal: 'SIGKILL',
      signal: hardStop,
    });
    let hasBegun = false;
    child.stdout.on('data', () => (hasBegun = true));
    child.stdin.on('error', () => undefined);
    const suspicion: Suspicion = { policy, batch };
    child.stdin.end(JSON.stringify(suspicion));
    // Rejects when the process can't be started or was stopped by us: then nothing has been learned.
    const ended = await once(child, 'close').catch(() => null);
    return ended !== null && hasBegun && ended[0] !== 0;
  };
}

/**
 * The other side of `processProbe`: says that it begins, reads, masks, and ends with exit code 0 if it lives to. Keys
 * are thrown away afterwards, since what ends a process is in the record and not in them. `wrap` is for tests.
 */
export async function maskSuspect(
  input: Readable,
  output: Writable,
  wrap: (masker: Masker) => Masker = (masker) => masker,
): Promise<void> {
  // A process manager that stops the worker signals its children too: that must not look like a crash.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
  await new Promise((resolve) => output.write('begun\n', resolve));
  try {
    const suspicion: unknown = JSON.parse(await text(input));
    if (!isSuspicion(suspicion)) return;
    const { policy, batch } = suspicion;
    const kek = kekFromEnv(randomBytes(KEK_BYTES).toString('base64'));
    const keyring = new Keyring(createKeyring(kek, systemClock.now()), kek, 'a throw-away keyring');
    const masker = compileMasker(policy, keyring, systemClock);
    // Whether it lives does not hang on what the vault holds.
    wrap(masker).mask(batch, candidateTokens(masker.wanted(batch)));
  } catch {
    // An error is no crash: the worker's own masker will throw it again, and is believed.
  }
}

/** It comes from the process that started this one; what is looked at is only whether all of it came. */
function isSuspicion(value: unknown): value is Suspicion {
  return typeof value === 'object' && value !== null && 'policy' in value && 'batch' in value;
}
