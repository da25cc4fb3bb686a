import { clearLine, cursorTo } from 'node:readline';

/** A stream of text that may be a terminal. */
export type TerminalStream = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };

/** Where nobody has said how wide it is. */
const DEFAULT_COLUMNS = 80;

/**
 * The last line of a terminal, which shows how far something is. All else that is written to the terminal goes through
 * `aside`, so that the two are never on one line. Off a terminal it shows nothing.
 */
export class StatusLine {
  readonly #stream: TerminalStream;
  #shown = '';

  constructor(stream: TerminalStream) {
    this.#stream = stream;
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY ?? false;
  }

  get columns(): number {
    const { columns = 0 } = this.#stream;
    return columns > 0 ? columns : DEFAULT_COLUMNS;
  }

  /** Shows this instead of what it showed; an empty text leaves no line behind. */
  show(text: string): void {
    if (!this.isTerminal) return;
    const shown = text.slice(0, this.columns - 1);
    if (shown === this.#shown) return;
    this.#clear();
    this.#shown = shown;
    this.#stream.write(shown);
  }

  /** Writes something else, whole lines, with the line out of the way. */
  aside(write: () => void): void {
    this.#clear();
    write();
    if (this.#shown !== '') this.#stream.write(this.#shown);
  }

  /** Writes lines to the same stream. */
  write(text: string): void {
    this.aside(() => void this.#stream.write(text));
  }

  #clear(): void {
    if (this.#shown === '') return;
    cursorTo(this.#stream, 0);
    clearLine(this.#stream, 0);
  }
}
