import { html } from 'hono/html';
import { type Html, moment } from './wording.js';

/** The keys as far as they are known without opening one. */
export interface KeyringView {
  /** The keyring's id; null where this process can't read the file. */
  readonly id: string | null;
  /** Why not, in words of ours; null where it can. */
  readonly trouble: string | null;
  readonly keys: readonly {
    readonly kid: number;
    /** Null where only the database knows of it. */
    readonly state: 'primary' | 'decrypt-only' | 'destroyed' | null;
    /** ISO 8601; null where the file does not say. */
    readonly created_at: string | null;
    /** When one of the latest batches was committed that it had masked; null: none of them. */
    readonly last_at: string | null;
  }[];
}

const TONES = { primary: 'good', 'decrypt-only': '', destroyed: 'warn' } as const;

/** Kids and states. */
export function keysCard(view: KeyringView | null, now: number): Html {
  return html`<section class="card" id="keys" aria-labelledby="keys-title">
    <header>
      <h2 id="keys-title">Keys</h2>
      ${view?.id && html`<span class="soft">${view.id}</span>`}
    </header>
    ${view === null ? html`<p class="soft">Not known: Postgres does not answer.</p>` : keyTable(view, now)}
  </section>`;
}

function keyTable({ keys, trouble }: KeyringView, now: number): Html {
  const from = trouble !== null && html`<p class="soft">${trouble}</p>`;
  if (keys.length === 0)
    return html`${from}
      <p class="soft">No batch has been masked yet.</p>`;
  return html`<table>
      <thead>
        <tr>
          <th scope="col">Kid</th>
          <th scope="col">State</th>
          <th scope="col">Made</th>
          <th scope="col">Last used</th>
        </tr>
      </thead>
      <tbody>
        ${keys.map(
          ({ kid, state, created_at, last_at }) =>
            html`<tr>
              <th scope="row">${kid}</th>
              <td>${state === null ? 'in use' : html`<span class="${TONES[state]}">${state}</span>`}</td>
              <td data-label="made">${created_at === null ? '–' : created_at.slice(0, 10)}</td>
              <td data-label="last used">${moment(last_at, now)}</td>
            </tr>`,
        )}
      </tbody>
    </table>
    ${from}`;
}
