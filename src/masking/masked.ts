declare const brand: unique symbol;

/**
 * A value that has been through the mask. Only `mask.ts` (by masking), `quarantined.ts` and `queue/payload.ts` (by
 * opening what was sealed after masking) may call `asMasked`; lint keeps everyone else out, so unmasked data cannot
 * reach a sink.
 */
export type Masked<T> = T & { readonly [brand]: 'masked' };

/** Vouches that the value is masked. */
export function asMasked<T>(value: T): Masked<T> {
  return value as Masked<T>;
}
