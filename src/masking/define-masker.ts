// What a file with a masker of one's own imports from this package. It must stay small: a masker's thread loads it too.

/** What a masker knows besides the value. It is the same at every call, and frozen. */
export interface MaskerContext {
  /** The column that is masked. */
  readonly column: string;
  /** `options` of the mask, as the pipeline file has them; empty without any. */
  readonly options: Readonly<{ [name: string]: unknown }>;
}

/** What a masker with a key knows besides. */
export interface KeyedMaskerContext extends MaskerContext {
  /**
   * HMAC-SHA-256 of the text's UTF-8, in base64url: 43 characters. Its key is that of the method `hmac` for the mask's
   * `domain`, under the key id that the row's `$mask_kid` names: docs/masking.md.
   */
  readonly hmac: (text: string) => string;
}

/** What every masker may say. */
interface MaskerBasics {
  /**
   * `canonical`, the default: values come trimmed, in Unicode NFC, and without control and format characters, as to all
   * masks. `as_sent`: as they were sent, for prose with line breaks; only what Postgres can't store is refused.
   */
  readonly input?: 'canonical' | 'as_sent';
}

/** A masker without a key. */
export interface MaskerDefinition extends MaskerBasics {
  readonly keyed?: false;
  /**
   * The text that is stored for a value, or null for SQL NULL. Called once for equal values of a batch, synchronously.
   * When it throws, hangs, or gives anything else, the record is rejected as `mask_failed` and nothing of it is stored.
   */
  readonly mask: (value: string, context: MaskerContext) => string | null;
  /** Looks at the options once, before any value comes; what it throws stops the start. */
  readonly check?: (context: MaskerContext) => void;
}

/** A masker with a key: its mask needs a `domain`, and its pipeline a column from `$mask_kid`. */
export interface KeyedMaskerDefinition extends MaskerBasics {
  readonly keyed: true;
  /** As without a key. */
  readonly mask: (value: string, context: KeyedMaskerContext) => string | null;
  /** As without a key. */
  readonly check?: (context: KeyedMaskerContext) => void;
}

/** Known to every copy of this package, so that a masker may be made by another copy than the one that runs it. */
const MARK = Symbol.for('maskline.masker');

/** What a file exports for `mask: { method: custom }`. */
export type CustomMasker<D extends MaskerDefinition | KeyedMaskerDefinition = MaskerDefinition> = Readonly<D>;

/**
 * Makes a masker of a function from a value to what is stored. It runs in a thread without the environment, one for
 * each file; docs/masking.md has what it may do, and what becomes of a record when it fails.
 */
export function defineMasker(definition: KeyedMaskerDefinition): CustomMasker<KeyedMaskerDefinition>;
export function defineMasker(definition: MaskerDefinition): CustomMasker;
export function defineMasker(
  definition: MaskerDefinition | KeyedMaskerDefinition,
): CustomMasker<MaskerDefinition | KeyedMaskerDefinition> {
  return Object.freeze({ ...definition, [MARK]: true });
}

/** Whether something was made by `defineMasker`; what it says of itself is still to be looked at. */
export function isDefined(exported: unknown): exported is { readonly [name: string]: unknown } {
  return typeof exported === 'object' && exported !== null && Object.hasOwn(exported, MARK);
}
