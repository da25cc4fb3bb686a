// What workers/suspect.ts is to maskline, with a masker that marked bodies kill.

import { maskSuspect } from '../../src/roles/suspect.js';
import { deadly } from './hostile-killer.js';

await maskSuspect(process.stdin, process.stdout, (masker) => deadly(masker));
