#!/usr/bin/env node
import { runCommandLine } from './entry.js';

process.exitCode = await runCommandLine(process.argv, process);
