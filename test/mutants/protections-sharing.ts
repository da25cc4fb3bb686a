// Protections of queues that several pipelines share, and of pipelines that read several queues.

import { type Mutant, PROMISE } from './mutant.js';

const SHARED = 'unit/source-shared.test.ts';

/** Mutants of sharing. */
export const sharingProtections: readonly Mutant[] = [
  {
    row: 'one of several pipelines',
    name: 'a message is acked when the first of its pipelines has settled its records',
    file: 'src/source/shared-messages.ts',
    replace: 'message.open > 0 || !message.isWhole',
    by: '!message.isWhole',
    tests: [
      {
        file: SHARED,
        name: 'a message of several pipelines is deleted when the last of them has settled its records, and not before',
      },
    ],
  },
  {
    row: 'one of several pipelines',
    name: 'a message is acked though one of its pipelines has let its records go',
    file: 'src/source/shared-queue.ts',
    replace: 'this.#messages.giveBack(receipt.handle, delayMs(receipt));',
    by: 'delayMs(receipt);',
    tests: [
      {
        file: SHARED,
        name: 'one that gives its records back gives back the message, though the other has settled its own',
      },
    ],
  },
  {
    row: 'one of several pipelines',
    name: 'a pipeline that settles nothing is waited for at each receive',
    file: 'src/source/shared-queue.ts',
    replace: 'if (isClogged) branch.isClogged = true;',
    by: 'branch.isClogged = false;',
    tests: [
      {
        file: SHARED,
        name: 'a pipeline that is slow is waited for; one that settles nothing is not, after a while',
      },
    ],
  },
  {
    row: PROMISE,
    name: 'what fits no route is loaded by the first pipeline',
    file: 'src/source/route.ts',
    replace: "record: hasFault ? record : { ...record, rejected: 'no_route' }",
    by: 'record: hasFault ? { ...record } : record',
    tests: [
      {
        file: 'unit/source-route.test.ts',
        name: "what fits nothing is the default's, or the first one's as no_route",
      },
    ],
  },
  {
    row: PROMISE,
    name: 'receipts of one queue are spent at another',
    file: 'src/source/joined.ts',
    replace: 'receipt.queue === queue',
    by: 'queue === 0',
    tests: [
      {
        file: 'unit/source-joined.test.ts',
        name: 'every message of every queue comes once, and is acked at its own',
      },
    ],
  },
];
