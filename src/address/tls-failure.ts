/** Where settings of TLS stand, for a remedy. */
export interface TlsPlaces {
  readonly ca: string;
  readonly serverName: string;
  readonly client: string;
  /** What to do for a connection that is not encrypted. */
  readonly without: string;
}

interface Kind {
  /** Codes of Node and OpenSSL. */
  readonly codes: RegExp;
  readonly says: (code: string, places: TlsPlaces) => string;
}

/** Those that waiting does not mend. What else goes wrong with TLS, such as a peer that ends in mid-handshake, may pass. */
const KINDS: readonly Kind[] = [
  {
    codes: /^(ERR_TLS_CERT_ALTNAME_INVALID|HOSTNAME_MISMATCH)$/,
    says: (code, { serverName }) =>
      `shows a certificate for another host (${code}): connect by a name that it holds, or give that name as ${serverName}`,
  },
  {
    codes: /^CERT_(HAS_EXPIRED|NOT_YET_VALID)$/,
    says: (code) => `shows a certificate that is not valid today (${code}): renew it`,
  },
  {
    codes:
      /^(CERT_|CRL_|DEPTH_ZERO_SELF_SIGNED_CERT|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED|SELF_SIGNED_CERT|UNABLE_TO_)/,
    says: (code, { ca }) =>
      `shows a certificate of an authority that is not trusted here (${code}): name the authority's certificate as ${ca}`,
  },
  {
    codes: /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|UNKNOWN_PROTOCOL|HTTP_REQUEST)$/,
    says: (code, { without }) => `does not speak TLS (${code}): turn it on there, or ${without}`,
  },
  {
    codes: /^ERR_SSL_.*(ALERT_.*(CERTIFICATE|UNKNOWN_CA)|CERTIFICATE_REQUIRED)|^ERR_OSSL_/,
    says: (code, { client }) => `refuses the client certificate, or asks for one (${code}): check ${client}`,
  },
  {
    codes: /^ERR_SSL_.*(HANDSHAKE_FAILURE|PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|NO_SHARED_CIPHER)/,
    says: (code) =>
      `has no version or cipher of TLS in common with this side (${code}): it needs TLS 1.2 or newer`,
  },
];

/**
 * What is wrong with the TLS of a server, as the rest of a sentence that begins with it, by the error's code; null
 * for all that may pass by itself, or is about something else.
 */
export function tlsFailure(code: string, places: TlsPlaces): string | null {
  return KINDS.find(({ codes }) => codes.test(code))?.says(code, places) ?? null;
}
