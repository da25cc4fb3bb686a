import type { Mutant } from './mutant.js';
import { copyProtections } from './protections-copy.js';
import { edgeProtections } from './protections-edges.js';
import { flowProtections } from './protections-flow.js';
import { ledgerProtections } from './protections-ledger.js';
import { queueProtections } from './protections-queue.js';
import { turnProtections } from './protections-turns.js';
import { sharingProtections } from './protections-sharing.js';
import { severalProtections } from './protections-several.js';
import { vaultProtections } from './protections-vault.js';

/** Every protection that can be taken away, by row of the failure table. */
export const protections: readonly Mutant[] = [
  ...ledgerProtections,
  ...copyProtections,
  ...flowProtections,
  ...queueProtections,
  ...edgeProtections,
  ...turnProtections,
  ...severalProtections,
  ...vaultProtections,
  ...sharingProtections,
];
