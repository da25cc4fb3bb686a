import { readFileSync } from 'node:fs';

/** This package's version, as package.json has it. */
export function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  const hasVersion = typeof manifest === 'object' && manifest !== null && 'version' in manifest;
  if (!hasVersion || typeof manifest.version !== 'string') throw new TypeError('package.json has no version');
  return manifest.version;
}
