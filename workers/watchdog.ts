// The thread that ends a process whose main thread hangs. Started by that process; not for process managers.
import { watchMainThread } from '../src/roles/watchdog.js';

watchMainThread();
