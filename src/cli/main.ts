#!/usr/bin/env node
import { runCommandLine } from './entry.js';

await runCommandLine(process.argv);
