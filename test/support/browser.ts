import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

/** A name of this machine that the browser takes for another one's. */
export const ELSEWHERE = 'admin.test';

/** Starts the browser of this machine. Fails, never skips, where there is none. */
export async function startBrowser(): Promise<Browser> {
  const executablePath = process.env['CHROMIUM'] || found();
  if (executablePath === null) {
    throw new Error('these tests need a Chromium: apt-get install chromium, or name one in CHROMIUM');
  }
  // Tests may run as root, whom Chromium gives no sandbox.
  return chromium.launch({
    executablePath,
    args: ['--no-sandbox', `--host-resolver-rules=MAP ${ELSEWHERE} 127.0.0.1`],
  });
}

function found(): string | null {
  const places = (process.env['PATH'] ?? '').split(delimiter);
  const candidates = NAMES.flatMap((name) => places.map((place) => join(place, name)));
  return candidates.find(isExecutable) ?? null;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
