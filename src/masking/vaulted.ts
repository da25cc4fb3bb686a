import type { Batch } from '../batch.js';
import type { BatchMasker, Masking, VaultMasker } from './mask.js';
import { type Vault, tokensOf } from './vault.js';

/** A masker that asks the vault for the tokens of each batch first, unless it needs none. Throws what both throw. */
export function withVault(masker: VaultMasker, vault: Vault): BatchMasker {
  return {
    mask: async (batch: Batch): Promise<Masking> => {
      const wanted = masker.wanted(batch);
      if (wanted.length === 0) return masker.mask(batch);
      return masker.mask(batch, tokensOf(wanted, await vault.tokens(wanted)));
    },
  };
}
