import { PipelineError } from '../errors.js';
import type { Keyring } from '../masking/keyring.js';
import { open, seal } from '../masking/seal.js';
import { type Origin, type OriginSealer, originPlace } from '../source/origin.js';

const VERSION = 'o1';
const FORMAT = /^o1\.(\d{1,9})\.([A-Za-z0-9_-]{38,400})$/;

/** Origins under the keyring: `o1.<kid>.<base64url of the sealed JSON>`. */
export function originSealer(keyring: Keyring): OriginSealer {
  return {
    seal: ({ messageId, sentAt }, body) => {
      const plain = Buffer.from(JSON.stringify({ id: messageId, sent_at: sentAt }), 'utf8');
      const { kid, sealed } = seal(keyring, 'redrive', originPlace(body), plain);
      return [VERSION, kid, sealed.toString('base64url')].join('.');
    },
    open: (text, body) => {
      const [, kid, sealed] = FORMAT.exec(text) ?? [];
      if (kid === undefined || sealed === undefined) return null;
      try {
        const bytes = Buffer.from(sealed, 'base64url');
        return originOf(open(keyring, 'redrive', originPlace(body), Number(kid), bytes));
      } catch (error) {
        // Anybody who may send can write anything here; it must not stop the pipeline.
        if (error instanceof PipelineError) return null;
        throw error;
      }
    },
  };
}

function originOf(plain: Buffer): Origin | null {
  const origin: unknown = JSON.parse(plain.toString('utf8'));
  if (typeof origin !== 'object' || origin === null || !('id' in origin) || !('sent_at' in origin))
    return null;
  const { id: messageId, sent_at: sentAt } = origin;
  return typeof messageId === 'string' && typeof sentAt === 'number' ? { messageId, sentAt } : null;
}
