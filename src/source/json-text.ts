/** What JSON.parse makes of the text, and null for what is no JSON: the parser's error quotes the text and is dropped. */
export function parsedOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The first place from `from` on that is no white space of JSON (RFC 8259, section 2). */
export function skipSpace(json: string, from: number): number {
  let at = from;
  while (json[at] === ' ' || json[at] === '\n' || json[at] === '\r' || json[at] === '\t') at += 1;
  return at;
}
