// How a masker's thread finds modules: this package wherever it is installed, a masker's own files as they were read,
// everything else as Node does. Loaded by Node itself where hooks run in a thread of their own (`module.register`).

import type { InitializeHook, LoadHook, ResolveHook } from 'node:module';

import { candidatesOf } from './custom-files.js';

/** A module as it is run: its code by its URL. */
export interface Modules {
  readonly [url: string]: { readonly format: 'module' | 'json'; readonly source: string };
}

/** The code of the error for a relative import of a file that is not there, or whose path is no plain text. */
export const UNKNOWN_IMPORT = 'MASKLINE_UNKNOWN_IMPORT';

const PACKAGE = 'maskline';
const DEFINITION = new URL('define-masker.js', import.meta.url).href;
const ownPath = /^(?:\.{0,2}\/|file:)/;

let known: Modules = {};

/** Takes the modules, before anything is resolved. */
export const initialize: InitializeHook<Modules> = (modules) => {
  known = modules;
};

/** Of a masker's own files, only those that were read are there: what was hashed is what runs. */
export const resolve: ResolveHook = (specifier, context, nextResolve) => {
  if (specifier === PACKAGE) return { url: DEFINITION, format: 'module', shortCircuit: true };
  if (known[specifier]) return { url: specifier, shortCircuit: true };
  const { parentURL } = context;
  if (parentURL === undefined || !known[parentURL] || !ownPath.test(specifier))
    return nextResolve(specifier, context);
  const url = candidatesOf(new URL(specifier, parentURL).href).find((candidate) => known[candidate]);
  if (url === undefined) throw Object.assign(new Error('no such file'), { code: UNKNOWN_IMPORT });
  return { url, shortCircuit: true };
};

/** Gives the code that was read. */
export const load: LoadHook = (url, context, nextLoad) => {
  const own = known[url];
  return own ? { ...own, shortCircuit: true } : nextLoad(url, context);
};
