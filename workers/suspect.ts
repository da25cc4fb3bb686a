// Masks a record that workers may have died of, in a process that may die of it too. Started by a transform worker,
// which says on stdin what to mask; not for process managers.
import { maskSuspect } from '../src/roles/suspect.js';

await maskSuspect(process.stdin, process.stdout);
