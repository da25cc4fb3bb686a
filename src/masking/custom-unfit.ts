// Why a masker can't be used, and how to mend it, in words that quote nothing of its code but names.

import type { Place, Unfit } from './custom-exchange.js';

const reasons: Readonly<{ [why in Unfit['why']]: string }> = {
  syntax: 'is no JavaScript or TypeScript that can be compiled: mend it',
  unknown_import:
    'imports a file that is not there, or whose path is no plain text: name it from where the importing file is, with its extension',
  unknown_package: 'imports a package that is not found from where it is: install it there',
  no_such_name: 'imports a name that the other file does not export',
  threw: 'throws when it is loaded: try it with `node`; what it said is withheld, as it may quote data',
  no_export: 'has no such export: name one in `export`, or let it `export default`',
  not_a_masker:
    'exports something that `defineMasker` has not made: `export default defineMasker({ mask: … })`, from maskline',
  no_function: 'gives `defineMasker` no function `mask`',
  asynchronous: 'has an asynchronous `mask`: it must give its result at once, without `async`',
  unknown_key:
    'gives `defineMasker` what it does not know: there are mask, input (canonical, as_sent), keyed and check',
  no_domain: 'is keyed, and the mask names no `domain` to take the key of',
  idle_domain:
    'takes no key, and the mask names a `domain`: leave it out, or let the masker say `keyed: true`',
  check_threw: 'refuses its options: its `check` throws; what it said is withheld, as it may quote data',
};

/** What is wrong, as the rest of a sentence that begins with the masker. */
export function reasonOf(wrong: Unfit | 'overdue' | 'ended', limitMs: number): string {
  if (wrong === 'overdue')
    return `is not loaded within ${limitMs / 1_000} s: let it do less when it is loaded`;
  if (wrong === 'ended')
    return 'ends its thread when it is loaded: let it call no process.exit, and need less memory';
  const { why, subject, place } = wrong;
  const where = [subject === null ? '' : ` (${subject})`, place === null ? '' : ` at ${written(place)}`].join(
    '',
  );
  const [what = '', ...remedy] = reasons[why].split(': ');
  return [`${what}${where}`, ...remedy].join(': ');
}

function written({ name, line, column }: Place): string {
  return `${name}:${String(line)}:${String(column)}`;
}
