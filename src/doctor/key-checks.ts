import { PipelineError } from '../errors.js';
import { policies } from '../policy.js';
import type { Facts } from './facts.js';
import { GOOD, type Verdict, error, together, unanswered, unseen, warning } from './finding.js';

/** Bits that give a file's group or others a right. */
const OTHERS = 0o077;
/** Of a file of somebody else, as of a mounted secret, its group is how this process may read it. */
const OTHERS_OF_FOREIGN = 0o037;

/** Whether the keyring is there and opens. */
export function judgeKeyring({ keyring: { opened } }: Facts): Verdict {
  return opened instanceof PipelineError ? error(opened.message, policies[opened.code].remedy) : GOOD;
}

/** Whether nobody else may read or change it. */
export function judgeKeyringMode({ keyring: { file, mode, isForeign } }: Facts): Verdict {
  if (mode === null) return unseen(`the mode of ${file}, which is not there`);
  if ((mode & (isForeign ? OTHERS_OF_FOREIGN : OTHERS)) === 0) return GOOD;
  return warning(
    `the keyring ${file} has the mode 0${mode.toString(8)}: others may read or change it`,
    `chmod 600 ${file}`,
  );
}

/** Whether what was made under keys can still be opened. */
export function judgeKeys({ keyring: { file, states }, kids }: Facts): Verdict {
  if (states.size === 0) return unseen(`which keys ${file} has`);
  if (kids instanceof PipelineError) return unanswered('which keys rows were made under', kids);
  return together(
    kids.flatMap(({ place, kids: used }) =>
      used.map((kid) => {
        const state = states.get(kid);
        if (state === undefined) {
          return error(
            `${place} holds what was made under key ${kid}, and the keyring ${file} has no such key: it can't be opened, ` +
              'and equal values get other tokens now',
            `bring back the keyring that has key ${kid}, from its backup or from another host`,
          );
        }
        if (state !== 'destroyed') return GOOD;
        return warning(
          `${place} holds what was made under key ${kid}, which was destroyed: nobody can open it any more`,
          place === 'maskline.quarantine'
            ? '`maskline quarantine purge` removes the entries'
            : 'none, unless a backup of the keyring has the key: restore it, and `maskline remask` brings the rest to the primary key',
        );
      }),
    ),
  );
}
