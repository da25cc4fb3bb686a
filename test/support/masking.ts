import type { Batch, MessageHead } from '../../src/batch.js';
import { type Kek, kekFromEnv } from '../../src/masking/kek.js';
import { Keyring } from '../../src/masking/keyring.js';
import { parseKeyring } from '../../src/masking/keyring-file.js';
import {
  type ColumnPolicy,
  type ColumnSpec,
  type MaskSpec,
  type TokenMask,
  policySha256,
} from '../../src/masking/methods.js';
import { keyringOracle, masterFor } from './oracle.js';

/** The KEK of tests. */
export const testKekBase64 = Buffer.alloc(32, 0x5a).toString('base64');
export const testKek: Kek = kekFromEnv(testKekBase64);

/** The master keys of the test keyring: 2 is primary, 1 opens only. */
export const testMasters: ReadonlyMap<number, Buffer> = new Map([
  [1, masterFor('first')],
  [2, masterFor('second')],
]);
export const primaryMaster: Buffer = masterFor('second');

/** A keyring of `testMasters`, wrapped by the oracle. */
export function testKeyring(masters: ReadonlyMap<number, Uint8Array> = testMasters): Keyring {
  return new Keyring(
    parseKeyring(keyringOracle(masters, testKekBase64), 'test keyring'),
    testKek,
    'test keyring',
  );
}

/** A column that keeps the field of its name. */
export function column(name: string, options: Partial<ColumnSpec> = {}): ColumnSpec {
  return {
    name,
    path: name,
    source: { kind: 'field', name },
    type: 'text',
    maxLength: null,
    required: false,
    mask: { method: 'keep' },
    ...options,
  };
}

/** A token mask with its defaults; the domain is `d` unless named. */
export function token(method: 'siv' | 'hmac', options: Partial<TokenMask> = {}): MaskSpec & TokenMask {
  return { method, domain: 'd', as: 'text', pad: null, lower: false, ...options };
}

/** A policy of these columns, with the defaults of maskline.yaml. */
export function policyOf(columns: readonly ColumnSpec[], options: Partial<ColumnPolicy> = {}): ColumnPolicy {
  const policy = {
    pipeline: 'logins',
    columns,
    maxDepth: 32,
    maxBody: 1024 * 1024,
    onUnknownField: 'drop',
    onReject: 'quarantine',
    ...options,
  } as const;
  return { ...policy, sha256: policySha256(policy) };
}

/** A batch of one message a body. */
export function batchOf(bodies: readonly string[], head: Partial<MessageHead> = {}): Batch {
  return {
    batchId: '01890a5d-ac96-774b-bcce-b302099a8057',
    runId: '01890a5d-ac96-774b-bcce-b302099a8058',
    pipeline: 'logins',
    messages: bodies.map((_, i) => ({
      messageId: `message-${i}`,
      sentAt: 1_700_000_000_000 + i,
      receivedAt: 1_700_000_005_000 - i,
      attributes: {},
      ...head,
    })),
    records: bodies.map((body, i) => ({ id: `message-${i}`, message: i, body })),
  };
}

/**
 * COPY text read by the rules of Postgres's manual (COPY, "Text Format"), one character after the other: rows of
 * fields, null for NULL.
 */
export function decodeCopy(rows: Buffer): (string | null)[][] {
  const controls: Readonly<{ [letter: string]: string }> = {
    b: '\b',
    f: '\f',
    n: '\n',
    r: '\r',
    t: '\t',
    v: '\v',
  };
  const out: (string | null)[][] = [];
  const text = rows.toString('utf8');
  let row: (string | null)[] = [];
  let field = '';
  let raw = '';
  const endField = (): void => {
    row.push(raw === '\\N' ? null : field);
    field = '';
    raw = '';
  };
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charAt(i);
    if (unit === '\t') endField();
    else if (unit === '\n') {
      endField();
      out.push(row);
      row = [];
    } else if (unit === '\\') {
      i += 1;
      const next = text.charAt(i);
      raw += unit + next;
      field += controls[next] ?? next;
    } else {
      raw += unit;
      field += unit;
    }
  }
  if (raw !== '' || row.length > 0) throw new Error('the last line has no end');
  return out;
}

/** One column of the vault, `mail`, whose subject is `who`. */
export const vaultPolicy: ColumnPolicy = policyOf([
  column('mail', {
    mask: {
      method: 'vault',
      domain: 'd',
      as: 'text',
      pad: null,
      lower: false,
      subject: { name: 'who', steps: [] },
    },
  }),
]);
