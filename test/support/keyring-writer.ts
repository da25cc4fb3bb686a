// A process that changes a keyring file and is killed once a step is taken: node keyring-writer.js FILE KEK-FILE STEP.

import { kekFromFile } from '../../src/masking/kek.js';
import { addKey } from '../../src/masking/keyring-change.js';
import { changeKeyring } from '../../src/masking/keyring-store.js';

const [path = '', kekFile = '', killedAt = ''] = process.argv.slice(2);

changeKeyring({
  path,
  kek: kekFromFile(kekFile),
  change: (open) => addKey(open, Date.now()),
  onStep: (step) => {
    if (step === killedAt) process.kill(process.pid, 'SIGKILL');
  },
});
