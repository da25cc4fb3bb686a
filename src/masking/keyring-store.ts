import { closeSync, fsyncSync, openSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';

import { PipelineError } from '../errors.js';
import { type Kek, attempt, createPrivateFile } from './kek.js';
import type { OpenFile } from './keyring-change.js';
import type { KeyringFile } from './keyring-file.js';
import { Keyring, readKeyringFile } from './keyring.js';

/** How far a change of the file has come. */
export type StoreStep = 'locked' | 'written' | 'verified' | 'renamed';

/** A change of a keyring file. */
export interface KeyringChange {
  readonly path: string;
  /** What opens the file as it is. */
  readonly kek: Kek;
  /** What opens it afterwards; the same unless given. */
  readonly newKek?: Kek;
  /** Makes the new file of the one that is there now. */
  readonly change: (open: OpenFile) => KeyringFile;
  /** Hears of each step once it is taken. */
  readonly onStep?: (step: StoreStep) => void;
}

/**
 * Replaces a keyring file by a changed one, both of mode 0600, one process at a time. The new file is on the disk, has
 * been read back and opened, before it takes the place of the old by a rename: after a crash there is the one or the
 * other, never none. No copy of the old is left, since it would hold what was destroyed. Throws `usage` when another
 * process is at it or the file can't be written, `key_unavailable` when a KEK does not open what it should.
 */
export function changeKeyring({
  path,
  kek,
  newKek = kek,
  change,
  onStep = ignored,
}: KeyringChange): KeyringFile {
  // A rename onto a link would replace the link.
  const target = attempt(() => realpathSync(path), cannot(`${path} cannot be found`));
  return locked(target, () => {
    onStep('locked');
    const before = readKeyringFile(target);
    // Opened first: what a wrong KEK would be added to, or lost from, stays as it is.
    new Keyring(before, kek, target).kids();
    const after = change({ file: before, kek, where: target });
    const draft = `${target}.new`;
    // Holding the lock, only a change that was cut short can have left it.
    rmSync(draft, { force: true });
    createPrivateFile(draft, `${JSON.stringify(after, null, 2)}\n`);
    onStep('written');
    verify(draft, newKek, after, before);
    onStep('verified');
    attempt(
      () => {
        renameSync(draft, target);
      },
      cannot(`${target} could not be replaced and is as it was`),
    );
    syncDirectory(dirname(target));
    onStep('renamed');
    return after;
  });
}

/** Opens the new file as its next reader will: every key that was there and was not destroyed must be in it, the same. */
function verify(draft: string, kek: Kek, meant: KeyringFile, before: KeyringFile): void {
  const read = readKeyringFile(draft);
  // Opening compares each key with its check value.
  new Keyring(read, kek, draft).kids();
  const lost = before.keys.filter(
    ({ kid, kcv }) => !read.keys.some((each) => each.kid === kid && each.kcv === kcv),
  );
  if (lost.length === 0 && JSON.stringify(read) === JSON.stringify(meant)) return;
  throw new PipelineError('usage', `${draft} does not read back as it was written; the keyring is as it was`);
}

/** One at a time, by a file that must not exist: whoever is killed leaves it, and a person says that nobody is at it. */
function locked<T>(target: string, work: () => T): T {
  const lock = `${target}.lock`;
  try {
    createPrivateFile(lock, `${String(process.pid)}\n`);
  } catch (error) {
    throw new PipelineError(
      'usage',
      `${lock} is there, or cannot be made: another \`maskline keys\` is changing the keyring, or was killed while it ` +
        'did; when none is running, remove that file',
      { cause: error },
    );
  }
  try {
    return work();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** Makes a rename last: the name is in the directory, which has pages of its own. */
function syncDirectory(directory: string): void {
  const fd = attempt(() => openSync(directory, 'r'), cannot(`${directory} cannot be opened`));
  try {
    attempt(
      () => {
        fsyncSync(fd);
      },
      cannot(`${directory} cannot be synchronized`),
    );
  } finally {
    closeSync(fd);
  }
}

function cannot(what: string): (code: string) => PipelineError {
  return (code) => new PipelineError('usage', `${what} (${code})`);
}

function ignored(): void {}
