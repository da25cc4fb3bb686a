import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '../../src/clock.js';
import { compileMasker } from '../../src/masking/mask.js';
import type { ColumnSpec, MaskSpec } from '../../src/masking/methods.js';
import { marksOf } from '../../src/proof/messages.js';
import { stagingMessage } from '../../src/proof/staging-messages.js';
import { batchOf, column, policyOf, testKeyring, token } from '../support/masking.js';

const required = { required: true } as const;
const from = (mask: MaskSpec, options: Partial<ColumnSpec> = {}): Partial<ColumnSpec> => ({
  ...required,
  mask,
  ...options,
});

test('messages made up for a pipeline are loaded, whatever masks and paths its columns have', () => {
  const entity = { name: 'user', steps: [{ member: 'id' }] };
  const ssn = [{ least: 3, most: 3 }, { literal: '-' }, { least: 4, most: 9 }] as const;
  const steps = [{ member: 'mails' }, { each: true }, { member: 'mail' }] as const;
  const columns = [
    column('siv', from(token('siv'))),
    column('address', from(token('hmac', { as: 'ip' }))),
    column('prefix', from({ method: 'ip-truncate', v4: 24, v6: 48 }, { type: 'inet' })),
    column('pfx', from({ method: 'ipcrypt-pfx', domain: 'd' }, { type: 'inet' })),
    column('mail', from({ method: 'partial', kind: 'email' })),
    column('phone', from({ method: 'partial', kind: 'phone', show: 4 })),
    column('card', from({ method: 'partial', kind: 'card' })),
    column('pattern', { mask: { method: 'partial', kind: 'pattern', pattern: 'x', replace: 'y' } }),
    column('number', from({ method: 'ff1', domain: 'd', template: ssn, alphabet: '0123456789' })),
    column('day', from({ method: 'date-shift', domain: 'd', entity, days: 9 }, { type: 'date' })),
    column('age', from({ method: 'bucket', width: '10' })),
    column('month', from({ method: 'generalize', to: 'month' }, { type: 'timestamptz' })),
    column('group', from({ method: 'generalize', map: [['a', 'b']], lower: false })),
    column('version', from({ method: 'generalize', to: 'ip_version' }, { type: 'integer' })),
    column('mails', from(token('siv'), { type: 'jsonb', source: { kind: 'path', name: 'user', steps } })),
    column('second', {
      ...required,
      source: { kind: 'path', name: 'user', steps: [{ member: 'tags' }, { index: 1 }] },
    }),
  ];
  const policy = policyOf(columns);
  const messages = Array.from({ length: 60 }, (_, i) => stagingMessage(policy, 7, marksOf(7), i));
  const { masked } = compileMasker(policy, testKeyring(), systemClock).mask(
    batchOf(messages.map(({ body }) => body)),
  );
  assert.ok(masked.keys.length > 50);
  assert.equal(masked.keys.length, messages.filter(({ isValid }) => isValid).length);
  assert.ok(masked.rejections.every(({ code }) => code === 'not_json'));
});
