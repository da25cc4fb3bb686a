// What the process and a masker's thread say to each other.

import type { KeyObject } from 'node:crypto';
import type { MessagePort } from 'node:worker_threads';

import type { CustomFile } from './custom-files.js';

/** How a question stands; in the shared word that both sides wait on. */
export const state = { asked: 0, answered: 1, ended: 2 } as const;

/** What a thread is started with. It answers once of its own accord, when the masker's files are loaded. */
export interface ThreadData {
  readonly signal: Int32Array<SharedArrayBuffer>;
  readonly port: MessagePort;
  readonly files: readonly CustomFile[];
}

/** How a column uses the masker: which export, and what its context holds. */
export interface Usage {
  readonly column: string;
  readonly export: string;
  readonly options: Readonly<{ [name: string]: unknown }>;
  /** Null: the masker has no key. */
  readonly key: KeyObject | null;
}

/** A usage is prepared once, under a number, before its values come. */
export type Question =
  | { readonly kind: 'prepare'; readonly use: number; readonly usage: Usage }
  | { readonly kind: 'mask'; readonly use: number; readonly values: readonly string[] };

/** A place in a masker's files; lines and columns begin at 1. */
export interface Place {
  readonly name: string;
  readonly line: number;
  readonly column: number;
}

/** Why a masker can't be used. `subject` is a name from its code, never anything of a value. */
export interface Unfit {
  readonly kind: 'unfit';
  readonly why:
    | 'syntax'
    | 'unknown_import'
    | 'unknown_package'
    | 'no_such_name'
    | 'threw'
    | 'no_export'
    | 'not_a_masker'
    | 'no_function'
    | 'asynchronous'
    | 'unknown_key'
    | 'no_domain'
    | 'idle_domain'
    | 'check_threw';
  readonly subject: string | null;
  readonly place: Place | null;
}

/** What is stored for a value: text, or null; false: the masker failed with it. */
export type Result = string | null | false;

/** An answer, in the order of the questions. */
export type Answer =
  | { readonly kind: 'loaded' }
  | Unfit
  | { readonly kind: 'prepared'; readonly input: 'canonical' | 'as_sent' }
  | {
      readonly kind: 'masked';
      readonly results: readonly Result[];
      /** Where the masker threw first, if it did and that can be told. */
      readonly place: Place | null;
    };
