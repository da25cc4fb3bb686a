// All hostile bodies, each with what must become of it.

import type { HostileCase } from './hostile-case.js';
import { envelopeCases } from './hostile-envelopes.js';
import { jsonCases } from './hostile-json.js';
import { textCases } from './hostile-text.js';
import { valueCases } from './hostile-values.js';

/** The whole corpus; no body occurs twice. */
export function hostileCorpus(): readonly HostileCase[] {
  const byBody = new Map<string, HostileCase>();
  for (const one of [...jsonCases(), ...textCases(), ...valueCases(), ...envelopeCases()]) {
    if (!byBody.has(one.body)) byBody.set(one.body, one);
  }
  return [...byBody.values()];
}
