// A process whose main thread turns for a while, and then never again, watched as a role is. Argument: the beat in ms.
import { startWatchdog } from '../../src/roles/watchdog.js';

const watchdog = startWatchdog({ role: 'load', beatMs: Number(process.argv[2]), limitBeats: 5 });
process.stdin.on('data', (command: Buffer) => {
  if (command.toString().startsWith('block')) for (;;);
  void watchdog.stop();
  process.stdin.destroy();
});
// The watchdog itself is up by the second beat.
setTimeout(() => process.stdout.write('turning\n'), 2 * Number(process.argv[2]));
