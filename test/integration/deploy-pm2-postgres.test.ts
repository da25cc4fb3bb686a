import { after, before, test } from 'node:test';
import { scaleReloadAndStop } from '../support/pm2-roles.js';
import { type Stack, startStack } from '../support/stack.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

test('with the queues on Postgres, 20,000 messages end once each while pm2 scales, reloads, stops and starts', () =>
  scaleReloadAndStop(stack, 'postgres'));
