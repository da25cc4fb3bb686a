// Looks for values where they must not be, also behind the encodings that values usually hide in.

import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { constants, inflateRawSync, unzipSync } from 'node:zlib';
import { FormSearch, MIN_FORM_BYTES } from '../masking/form-search.js';

/** A value found where it was looked for. */
export interface Found {
  /** Name of the value. */
  readonly canary: string;
  readonly encoding: string;
  readonly where: string;
}

interface Needle {
  readonly canary: string;
  readonly encoding: string;
  readonly bytes: Buffer;
}

const CHUNK_BYTES = 4 * 2 ** 20;
/** From here on one pass for all values together is faster than one for each, several times so in large files. */
const LARGE_BYTES = 2 ** 16;

/** Values to look for, by name; a few must be found, or the search is worth nothing. */
export class LeakScan {
  readonly #needles: readonly Needle[];
  readonly #overlap: number;
  /** Null: some value is too short for it. */
  readonly #search: FormSearch | null;
  #searched = 0;

  constructor(canaries: Readonly<{ [name: string]: string | Buffer }>) {
    this.#needles = Object.entries(canaries).flatMap(([canary, value]) =>
      encodings(value).map(([encoding, bytes]) => ({ canary, encoding, bytes })),
    );
    this.#overlap = Math.max(0, ...this.#needles.map(({ bytes }) => bytes.length - 1));
    const isShort = this.#needles.some(({ bytes }) => bytes.length < MIN_FORM_BYTES);
    this.#search = isShort ? null : new FormSearch();
    for (const { bytes } of this.#needles) this.#search?.add(bytes, 0, bytes.length);
  }

  /** Bytes that were looked through so far. */
  get searchedBytes(): number {
    return this.#searched;
  }

  /** Every value that these bytes hold, in any encoding. */
  scan(where: string, content: string | Buffer): readonly Found[] {
    const bytes = typeof content === 'string' ? Buffer.from(content, 'utf8') : content;
    this.#searched += bytes.length;
    const found =
      this.#search === null || bytes.length < LARGE_BYTES
        ? this.#needles.filter((needle) => bytes.includes(needle.bytes))
        : this.#inOnePass(this.#search, bytes);
    return found.map(({ canary, encoding }) => ({ canary, encoding, where }));
  }

  #inOnePass(search: FormSearch, bytes: Buffer): readonly Needle[] {
    const found = new Set<number>();
    search.find(bytes, { starts: [0], ends: [bytes.length] }, (number, _, from) => {
      const needle = this.#needles[number]?.bytes;
      // The search takes less for equal: it knows no case, and only the beginning of what is long.
      if (needle && bytes.subarray(from, from + needle.length).equals(needle)) found.add(number);
    });
    return this.#needles.filter((_, number) => found.has(number));
  }

  /** The same over many contents, by name. */
  scanAll(contents: Iterable<readonly [string, string | Buffer]>): readonly Found[] {
    return [...contents].flatMap(([where, content]) => this.scan(where, content));
  }

  /** The same over a file of any size; what is found twice is told once. */
  async scanFile(path: string): Promise<readonly Found[]> {
    const found = new Map<string, Found>();
    const file = await open(path, 'r');
    try {
      // Trees are full of small files. A file that grows meanwhile takes more than one round.
      const chunk = Math.min(CHUNK_BYTES, Math.max(LARGE_BYTES, (await file.stat()).size));
      const buffer = Buffer.allocUnsafe(chunk + this.#overlap);
      for (let kept = 0; ;) {
        const { bytesRead } = await file.read(buffer, kept, chunk, null);
        if (bytesRead === 0) break;
        const bytes = buffer.subarray(0, kept + bytesRead);
        for (const one of this.scan(path, bytes)) found.set(`${one.canary} ${one.encoding}`, one);
        kept = Math.min(this.#overlap, bytes.length);
        buffer.copy(buffer, 0, bytes.length - kept, bytes.length);
      }
    } finally {
      await file.close();
    }
    return [...found.values()];
  }

  /** The same over all files below a directory, but for those whose path `skips` says so. */
  async scanTree(dir: string, skips: (path: string) => boolean = () => false): Promise<readonly Found[]> {
    const found: Found[] = [];
    for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile() && !skips(path))
        found.push(...(await this.scanFile(path).catch(nothingInWhatIsGone)));
    }
    return found;
  }
}

/** A server at work removes files of its own between the listing of a directory and the look into it. */
function nothingInWhatIsGone(error: unknown): readonly Found[] {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
  throw error;
}

/** A value as it is, and as programs that know nothing of it might have written it; each once. */
function encodings(value: string | Buffer): readonly (readonly [string, Buffer])[] {
  const bytes = Buffer.from(value);
  const each = (escape: (code: number) => string): string => [...bytes].map(escape).join('');
  const hex = bytes.toString('hex');
  const texts: [string, string][] = [
    ['hex', hex],
    ['HEX', hex.toUpperCase()],
    ['every byte url', each((code) => `%${code.toString(16).padStart(2, '0').toUpperCase()}`)],
    ['every character json', each((code) => `\\u${code.toString(16).padStart(4, '0')}`)],
    ...[0, 1, 2].flatMap((offset): [string, string][] => {
      const base64 = base64At(bytes, offset);
      return [
        [`base64+${offset}`, base64],
        [`base64url+${offset}`, base64.replaceAll('+', '-').replaceAll('/', '_')],
      ];
    }),
    ...(typeof value === 'string' ? textEncodings(value) : []),
  ];
  const all: [string, Buffer][] = [
    ['clear', bytes],
    ...(typeof value === 'string'
      ? [['utf-16', Buffer.from(value, 'utf16le')] satisfies [string, Buffer]]
      : []),
    ...texts.map(([name, text]): [string, Buffer] => [name, Buffer.from(text, 'utf8')]),
  ];
  return all.filter(([, one], index) => all.findIndex(([, other]) => one.equals(other)) === index);
}

function textEncodings(value: string): [string, string][] {
  return [
    ['url', encodeURIComponent(value)],
    ['json', JSON.stringify(value).slice(1, -1)],
  ];
}

/** What base64 makes of the bytes when so many others stand before them: only the characters that depend on nothing else. */
function base64At(bytes: Buffer, offset: number): string {
  const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64');
  const first = Math.ceil((offset * 8) / 6);
  const end = Math.floor(((offset + bytes.length) * 8) / 6);
  return encoded.slice(first, end);
}

/** Long enough to hold something, in either alphabet. */
const BASE64 = /[A-Za-z0-9+/_-]{32,}/g;
/** What stands before compressed bytes, such as a nonce, is hardly longer. */
const MAX_PREFIX_BYTES = 32;

/** What comes out of a text's base64 when it is inflated from any of its first bytes on: payloads are deflated before they are sealed. */
export function* inflatedParts(text: string): Generator<Buffer> {
  for (const [encoded] of text.matchAll(BASE64)) {
    const bytes = Buffer.from(encoded, 'base64');
    for (let from = 0; from <= MAX_PREFIX_BYTES; from += 1) {
      for (const inflate of [inflateRawSync, unzipSync]) {
        const inflated = attempt(() =>
          inflate(bytes.subarray(from), { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: 2 ** 24 }),
        );
        if (inflated !== null && inflated.length > 0) yield inflated;
      }
    }
  }
}

function attempt(work: () => Buffer): Buffer | null {
  try {
    return work();
  } catch {
    return null;
  }
}
